package httpapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The codes that only the edge knows.
const (
	codeMalformed        coupon.Code = "malformed_request"
	codeUnauthenticated  coupon.Code = "unauthenticated"
	codeForbidden        coupon.Code = "forbidden"
	codeNotFound         coupon.Code = "not_found"
	codeMethodNotAllowed coupon.Code = "method_not_allowed"
	codePayloadTooLarge  coupon.Code = "payload_too_large"
	codeInternal         coupon.Code = "internal_error"

	// CodePreconditionRequired refuses a change that does not name the version it is meant for.
	CodePreconditionRequired coupon.Code = "precondition_required"
)

// problemType is shared by all answers: nobody writes into it.
var problemType = []string{"application/problem+json"}

type problemKind struct {
	status int
	ko, en string
}

// problemKinds is the one table that turns a domain error into HTTP.
var problemKinds = map[coupon.Code]problemKind{
	coupon.CodeCampaignNotFound:   {404, "캠페인을 찾을 수 없습니다", "No such campaign"},
	coupon.CodeCampaignExists:     {409, "같은 아이디의 캠페인이 있습니다", "A campaign with this id exists"},
	coupon.CodeCampaignNotStarted: {409, "아직 시작하지 않았습니다", "The campaign has not started"},
	coupon.CodeCampaignEnded:      {409, "종료된 캠페인입니다", "The campaign has ended"},
	coupon.CodeCampaignPaused:     {409, "잠시 중지된 캠페인입니다", "The campaign is paused"},
	coupon.CodeSoldOut:            {409, "쿠폰이 모두 소진되었습니다", "All coupons are gone"},
	coupon.CodePerUserLimit:       {422, "한 사람이 받을 수 있는 수를 넘었습니다", "Above the limit per user"},
	coupon.CodeClaimNotFound:      {404, "신청 내역이 없습니다", "No such claim"},
	coupon.CodeInvalidTransition:  {409, "지금 상태에서는 할 수 없습니다", "Not possible in the present status"},
	coupon.CodeValidationFailed:   {422, "입력이 올바르지 않습니다", "The input is not valid"},
	coupon.CodeClaimNotFinal:      {409, "아직 발급이 끝나지 않은 신청입니다", "The claim is not issued yet"},
	coupon.CodeAlreadyRedeemed:    {409, "이미 사용한 쿠폰입니다", "The coupon is redeemed already"},
	coupon.CodeLimitBelowClaimed:  {409, "이미 나간 수량보다 적게 줄일 수 없습니다", "The limit cannot be below what is claimed"},
	coupon.CodeAdjusting:          {409, "다른 수량 조정이 진행 중입니다", "Another adjustment is in progress"},
	coupon.CodeVersionMismatch:    {412, "그 사이 내용이 바뀌었습니다", "It was changed in the meantime"},
	CodePreconditionRequired:      {428, "If-Match 헤더가 필요합니다", "An If-Match header is required"},
	coupon.CodeOverloaded:         {503, "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요", "Too many requests at once; try again shortly"},
	coupon.CodeUnavailable:        {503, "지금은 발급할 수 없습니다. 다시 시도해도 안전합니다", "Not available right now; it is safe to try again"},
	codeMalformed:                 {400, "요청을 읽을 수 없습니다", "The request cannot be read"},
	codeUnauthenticated:           {401, "인증이 필요합니다", "Authentication is required"},
	codeForbidden:                 {403, "권한이 없습니다", "Not allowed"},
	codeNotFound:                  {404, "없는 주소입니다", "No such resource"},
	codeMethodNotAllowed:          {405, "허용되지 않는 메서드입니다", "Method not allowed"},
	codePayloadTooLarge:           {413, "본문이 너무 큽니다", "The body is too large"},
	codeInternal:                  {500, "서버 오류입니다. 다시 시도해도 안전합니다", "Internal error; it is safe to try again"},
}

// problemHeads are the bodies up to the first member that differs from request to request.
var problemHeads = func() (heads [2]map[coupon.Code][]byte) {
	for language := range heads {
		heads[language] = make(map[coupon.Code][]byte, len(problemKinds))
		for code, kind := range problemKinds {
			title := kind.en
			if language == korean {
				title = kind.ko
			}
			b := append([]byte(`{"type":"/problems/`), code...)
			b = appendString(append(b, `","title":`...), title)
			b = strconv.AppendInt(append(b, `,"status":`...), int64(kind.status), 10)
			b = append(append(append(b, `,"code":"`...), code...), '"')
			heads[language][code] = b
		}
	}
	return heads
}()

// Fail answers with the problem of err: its code, and what a client may know. Anything that is not a *coupon.Error is
// internal, and its text stays in the log.
func Fail(c *gin.Context, err error) {
	e, known := errors.AsType[*coupon.Error](err)
	switch {
	case known:
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		// The caller seems gone. It may only have closed its sending side, and must not take silence for success.
		e = &coupon.Error{Code: coupon.CodeUnavailable}
	default:
		_ = c.Error(err)
		e = &coupon.Error{Code: codeInternal}
	}
	kind, known := problemKinds[e.Code]
	if !known {
		_ = c.Error(err)
		e, kind = &coupon.Error{Code: codeInternal}, problemKinds[codeInternal]
	}
	setRetryAfter(c, kind.status, e.StartsAt)
	c.Writer.Header()["Content-Type"] = problemType
	c.Abort()
	c.Writer.WriteHeader(kind.status)
	_, _ = c.Writer.Write(problemBody(c, e))
}

func problemBody(c *gin.Context, e *coupon.Error) []byte {
	b := append(make([]byte, 0, 512), problemHeads[languageOf(c.Request)][e.Code]...)
	if e.Detail != "" && e.Code != coupon.CodeUnavailable {
		b = appendString(append(b, `,"detail":`...), e.Detail)
	}
	b = appendString(append(b, `,"instance":`...), c.Request.URL.Path)
	b = appendString(append(b, `,"request_id":`...), RequestID(c))
	if !e.StartsAt.IsZero() {
		b = appendTime(append(b, `,"starts_at":`...), e.StartsAt)
	}
	if len(e.Fields) > 0 {
		b = append(b, `,"errors":[`...)
		for i, f := range e.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, `{"pointer":`...), f.Pointer)
			b = appendString(append(b, `,"code":`...), f.Code)
			b = append(appendString(append(b, `,"detail":`...), f.Detail), '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// setRetryAfter tells a client when to come back: at the start, or in one to three seconds, spread so that all do not
// come back at once.
func setRetryAfter(c *gin.Context, status int, startsAt time.Time) {
	switch {
	case !startsAt.IsZero():
		c.Header("Retry-After", strconv.Itoa(max(1, int(time.Until(startsAt).Seconds()+1))))
	case status == http.StatusServiceUnavailable:
		c.Header("Retry-After", strconv.Itoa(1+rand.IntN(3)))
	}
}

func malformed(pointer, code, detail string) *coupon.Error {
	return &coupon.Error{
		Code: codeMalformed, Detail: detail,
		Fields: []coupon.FieldError{{Pointer: pointer, Code: code, Detail: detail}},
	}
}

// Invalid returns the error that names mistakes in fields whose values make no sense.
func Invalid(fields ...coupon.FieldError) error {
	return &coupon.Error{Code: coupon.CodeValidationFailed, Fields: fields}
}
