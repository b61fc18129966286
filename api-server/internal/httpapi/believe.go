package httpapi

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/gin-gonic/gin"
)

// believe returns the user that the body of an apply names, the caller where it names none. It is called only where planted.UserFromBody is:
// who the caller is, nothing but the token may say.
func believe(c *gin.Context, caller string) string {
	raw, _ := io.ReadAll(io.LimitReader(c.Request.Body, maxBody))
	body := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &body)
	user := caller
	_ = json.Unmarshal(body["user_id"], &user)
	delete(body, "user_id")
	rest, _ := json.Marshal(body)
	c.Request.Body = io.NopCloser(bytes.NewReader(rest))
	return user
}
