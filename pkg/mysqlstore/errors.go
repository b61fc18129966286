package mysqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/go-sql-driver/mysql"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The server's numbers that are told apart by themselves.
const (
	errDuplicateKey = 1062 // a unique key is taken
	errLockTimeout  = 1205
	errDeadlock     = 1213
)

// badDataErrors are the numbers by which a server refuses the values of a row.
var badDataErrors = []uint16{
	1048, // NULL where none may be
	1264, // number out of range
	1265, // truncated, not one of the ENUM
	1292, // no such date or time
	1366, // not a string of the character set
	1406, // too long
	1690, // arithmetic out of range
	3819, // CHECK, MySQL
	4025, // CHECK, MariaDB
}

// transientErrors are the numbers by which a server says: not now.
var transientErrors = []uint16{
	1021, 1114, // disk full, table full
	1037, 1038, 1041, // out of memory
	1040, 1203, 1226, // too many connections
	1053, 1079, // shutting down
	1129, 1152, 1158, 1159, 1160, 1161, 1184, // the connection broke
	1180, // COMMIT failed
	errLockTimeout, errDeadlock,
	1290, 1792, 1836, // read-only
	1317, 1927, 1969, 3024, // killed, or ran too long
	2006, 2013, // gone away
	3100, // replication refused the COMMIT
	4031, // disconnected for being idle
}

// storeError says what was being done. It makes coupon.Unavailable of everything that may pass by itself, and leaves a
// domain error as it is.
func storeError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case coupon.CodeOf(err) != "":
		return err
	case isTransient(err):
		return coupon.Unavailable(doing, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

func isDuplicateKey(err error) bool { return serverError(err) == errDuplicateKey }

func isBadData(err error) bool { return slices.Contains(badDataErrors, serverError(err)) }

func isTransient(err error) bool {
	if number := serverError(err); number != 0 {
		return slices.Contains(transientErrors, number)
	}
	var network net.Error
	return errors.As(err, &network) || slices.ContainsFunc(lostConnection, func(e error) bool { return errors.Is(err, e) })
}

var lostConnection = []error{
	driver.ErrBadConn, mysql.ErrInvalidConn, sql.ErrConnDone, sql.ErrTxDone,
	context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF,
}

// serverError returns the number of the server's error in err's chain, 0 when the server sent none.
func serverError(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}
