package client

// AppendApply appends the request that applies for a coupon of a campaign. credentials is a whole header line, with its end.
func AppendApply(b []byte, host, campaign string, credentials []byte) []byte {
	b = append(append(append(b, "POST /v1/campaigns/"...), campaign...), "/apply HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
	b = append(b, credentials...)
	return append(b, "Content-Length: 0\r\n\r\n"...)
}
