// Package arrival fixes in advance who applies, for what and when: a plan is a few numbers and a seed, and whoever follows
// it computes the next apply instead of remembering any.
package arrival

import "strconv"

// Users gives numbers names: distinct numbers have distinct names, and a name tells its number. Other seeds give other
// names.
type Users struct{ seed uint64 }

// NewUsers returns the users of a seed.
func NewUsers(seed uint64) Users { return Users{seed} }

const (
	namePrefix = "u-"
	nameDigits = 16
)

// AppendName appends the name of a number: "u-" and 16 hexadecimal digits.
func (u Users) AppendName(b []byte, number uint64) []byte {
	const digits = "0123456789abcdef"
	x := mix(number + mix(u.seed))
	b = append(b, namePrefix...)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[x>>shift&15])
	}
	return b
}

// Name returns the name of a number.
func (u Users) Name(number uint64) string { return string(u.AppendName(nil, number)) }

// Number returns the number that has the name; false when the name is not of the form. Of a name of another seed it is any
// number.
func (u Users) Number(name string) (uint64, bool) {
	if len(name) != len(namePrefix)+nameDigits || name[:len(namePrefix)] != namePrefix {
		return 0, false
	}
	x, err := strconv.ParseUint(name[len(namePrefix):], 16, 64)
	if err != nil {
		return 0, false
	}
	number := unmix(x) - mix(u.seed)
	return number, u.Name(number) == name // hexadecimal has two spellings
}

const (
	multiplier1 = 0xbf58476d1ce4e5b9
	multiplier2 = 0x94d049bb133111eb
)

var inverse1, inverse2 = inverse(multiplier1), inverse(multiplier2)

// mix is the last step of SplitMix64. Each of its steps can be undone, so no two numbers become one.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * multiplier1
	x = (x ^ x>>27) * multiplier2
	return x ^ x>>31
}

func unmix(x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * inverse2
	x = (x ^ x>>27 ^ x>>54) * inverse1
	return x ^ x>>30 ^ x>>60
}

// inverse returns the number whose product with an odd m is 1, by Newton's steps: each doubles the correct bits.
func inverse(m uint64) uint64 {
	x := m
	for range 5 {
		x *= 2 - m*x
	}
	return x
}
