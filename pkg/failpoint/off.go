//go:build !failpoints

package failpoint

// Hit does nothing: the program was built without the tag failpoints.
func Hit(Point) {}
