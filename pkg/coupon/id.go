package coupon

// Lengths of the two identifiers a caller may choose.
const (
	MaxCampaignID = 63
	MaxUserID     = 128
)

// ValidCampaignID reports whether id is ^[a-z0-9][a-z0-9-]{0,62}$.
func ValidCampaignID(id string) bool {
	if id == "" || len(id) > MaxCampaignID || id[0] == '-' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !isLower(c) && !isDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

// ValidUserID reports whether id is ^[A-Za-z0-9._~@|:+=-]{1,128}$. The alphabet is ASCII and has no '/' (which parts n
// from the user in a Redis member) so that one user is the same bytes in a token, in Redis, in Kafka and in MySQL.
func ValidUserID(id string) bool {
	if id == "" || len(id) > MaxUserID {
		return false
	}
	for i := range len(id) {
		if !userByte[id[i]] {
			return false
		}
	}
	return true
}

var userByte = func() (ok [256]bool) {
	for c := range 256 {
		b := byte(c)
		ok[c] = isLower(b) || isDigit(b) || b >= 'A' && b <= 'Z'
	}
	for _, b := range []byte("._~@|:+=-") {
		ok[b] = true
	}
	return ok
}()

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
