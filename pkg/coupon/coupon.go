package coupon

import (
	"io"
	"time"
)

// Status is the state of an issued coupon.
type Status string

// The states of a coupon.
const (
	CouponActive    Status = "active"
	CouponRedeemed  Status = "redeemed"
	CouponCancelled Status = "cancelled"
	CouponExpired   Status = "expired"
)

// Coupon is the row a user owns.
type Coupon struct {
	Claim
	Code      string
	Status    Status
	IssuedAt  time.Time
	ExpiresAt *time.Time
}

// codeAlphabet is Crockford's base32: no I, L, O, U, so a code survives being read aloud.
const codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// codeBytes is the entropy of a code: 75 bits are used, far beyond guessing.
const codeBytes = 15

// NewCode reads randomness and returns a coupon code of 15 random characters and a check character, in four groups:
// "7K3M-Q9TD-X2VB-N80C".
func NewCode(random io.Reader) (string, error) {
	var raw [codeBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", err
	}
	code := make([]byte, 0, codeBytes+4)
	for i, b := range raw {
		if i > 0 && i%4 == 0 {
			code = append(code, '-')
		}
		code = append(code, codeAlphabet[b&31])
	}
	return string(append(code, checkCharacter(code))), nil
}

// ValidCode reports whether code has the form of NewCode and its check character is right.
func ValidCode(code string) bool {
	const length = codeBytes + 4
	if len(code) != length {
		return false
	}
	for i := range length {
		if i%5 == 4 {
			if code[i] != '-' {
				return false
			}
			continue
		}
		if codeValue(code[i]) < 0 {
			return false
		}
	}
	return code[length-1] == checkCharacter([]byte(code[:length-1]))
}

// checkCharacter weighs each character by an odd number, so every single wrong character changes the sum modulo 32.
func checkCharacter(code []byte) byte {
	sum, weight := 0, 1
	for _, c := range code {
		if c == '-' {
			continue
		}
		sum += weight * codeValue(c)
		weight += 2
	}
	return codeAlphabet[sum%32]
}

func codeValue(c byte) int {
	for i := range len(codeAlphabet) {
		if codeAlphabet[i] == c {
			return i
		}
	}
	return -1
}
