//go:build !planted

package planted

// On reports whether the program has the bug: never, in a program built without the tag planted.
func On(Bug) bool { return false }
