// Package coupon is the language of the system: campaign, claim, coupon, failed event, and the arithmetic on them.
//
// It imports the standard library only, so that every rule can be read and tested with nothing installed.
package coupon
