// Package client speaks as much HTTP/1.1 as a load needs: requests made beforehand, over one kept connection for each
// goroutine. The client shares the cores of the machine with the server it measures, and net/http's would take more of
// them than many a server: two more goroutines a connection, and some fifty allocations a request.
package client

import (
	"bufio"
	"fmt"
	"net"
	"time"
)

const (
	bufferBytes = 4 << 10

	// longestIdle is shorter than servers keep an idle connection, so that none is closed under a request.
	longestIdle = 30 * time.Second
)

// Options says where a Conn leads to.
type Options struct {
	Address string                   // host:port
	Timeout time.Duration            // of one exchange, dialling included
	Dial    func() (net.Conn, error) // nil dials Address by TCP
}

// Conn is a connection to one server. It dials when it is first needed, and again after the server closed or an error.
// One goroutine may use it at a time.
type Conn struct {
	options Options
	conn    net.Conn
	reader  *bufio.Reader
	body    []byte
	used    time.Time // when the last exchange ended
}

// New returns a Conn that has not dialled yet.
func New(options Options) *Conn {
	if options.Dial == nil {
		options.Dial = func() (net.Conn, error) { return net.DialTimeout("tcp", options.Address, options.Timeout) }
	}
	return &Conn{options: options, reader: bufio.NewReaderSize(nil, bufferBytes)}
}

// Connect dials, unless there is a connection.
func (c *Conn) Connect() error {
	if c.conn != nil {
		return nil
	}
	conn, err := c.options.Dial()
	if err != nil {
		return err
	}
	c.conn, c.used = conn, time.Now()
	c.reader.Reset(conn)
	return nil
}

// Do sends a whole request, as bytes, and returns the whole answer. After an error it is not known whether the server
// carried out the request; it is never sent twice.
func (c *Conn) Do(request []byte) (Response, error) {
	now := time.Now()
	if now.Sub(c.used) > longestIdle {
		c.Close()
	}
	if err := c.Connect(); err != nil {
		return Response{}, err
	}
	response, keep, err := c.exchange(request, now.Add(c.options.Timeout))
	if err != nil || !keep {
		c.Close()
	}
	c.used = time.Now()
	return response, err
}

func (c *Conn) exchange(request []byte, deadline time.Time) (response Response, keep bool, err error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return Response{}, false, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return Response{}, false, fmt.Errorf("send: %w", err)
	}
	if response, keep, err = c.read(); err != nil {
		return Response{}, false, fmt.Errorf("receive: %w", err)
	}
	return response, keep, nil
}

// Close ends the connection, if there is one.
func (c *Conn) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
