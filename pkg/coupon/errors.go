package coupon

import (
	"errors"
	"time"
)

// Code is the stable name of an error. Clients switch on it; it never changes.
type Code string

// The codes of the domain. How each becomes an HTTP status is decided in one table, in the api-server.
const (
	CodeCampaignNotFound   Code = "campaign_not_found"
	CodeCampaignExists     Code = "campaign_exists"
	CodeCampaignNotStarted Code = "campaign_not_started"
	CodeCampaignEnded      Code = "campaign_ended"
	CodeCampaignPaused     Code = "campaign_paused"
	CodeSoldOut            Code = "sold_out"
	CodePerUserLimit       Code = "per_user_limit_exceeded"
	CodeClaimNotFound      Code = "claim_not_found"
	CodeInvalidTransition  Code = "invalid_transition"
	CodeValidationFailed   Code = "validation_failed"
	CodeClaimNotFinal      Code = "claim_not_final"
	CodeAlreadyRedeemed    Code = "coupon_already_redeemed"
	CodeLimitBelowClaimed  Code = "limit_below_claimed"
	CodeAdjusting          Code = "adjustment_in_progress"
	CodeVersionMismatch    Code = "precondition_failed"
	CodeOverloaded         Code = "overloaded"
	CodeUnavailable        Code = "issuance_unavailable"
)

// Error is the one error type that crosses packages: a stable code, and what a client may know besides.
type Error struct {
	Code     Code
	Detail   string
	StartsAt time.Time // of CodeCampaignNotStarted
	Fields   []FieldError
	cause    error
}

// FieldError is one mistake in the input: a JSON pointer to the field, a code and words.
type FieldError struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// NewError returns an error with a code and words for a person.
func NewError(code Code, detail string) *Error { return &Error{Code: code, Detail: detail} }

// Unavailable says that a store did not answer as it should, so nothing is known and the call is safe to repeat.
func Unavailable(detail string, cause error) *Error {
	return &Error{Code: CodeUnavailable, Detail: detail, cause: cause}
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause, for logs only: it is never shown to a client.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the first *Error in err's chain, or "" when there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
