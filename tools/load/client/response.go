package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// longestBody is far above that of any answer to an apply, in bytes.
const longestBody = 64 << 10

// Response is an answer, with those headers that say something about an apply.
type Response struct {
	Status     int
	Replayed   bool   // Idempotent-Replayed: true
	Location   bool   // there is a Location
	RetryAfter bool   // there is a Retry-After
	Body       []byte // valid until the next Do
}

// frame is how an answer's body ends.
type frame struct {
	keep    bool // the connection may be used again
	chunked bool
	length  int // -1: not told
}

func (c *Conn) read() (response Response, keep bool, err error) {
	for {
		response, f, err := c.readHead()
		if err != nil {
			return Response{}, false, err
		}
		if response.Status < http.StatusOK { // an interim answer: the one that counts follows
			continue
		}
		keep, err := c.readBody(response.Status, f)
		response.Body = c.body
		return response, keep, err
	}
}

func (c *Conn) readHead() (Response, frame, error) {
	line, err := c.line()
	if err != nil {
		return Response{}, frame{}, err
	}
	response, f := Response{}, frame{length: -1}
	if response.Status, f.keep, err = statusOf(line); err != nil {
		return Response{}, frame{}, err
	}
	for {
		if line, err = c.line(); err != nil {
			return Response{}, frame{}, err
		}
		if len(line) == 0 {
			return response, f, nil
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return Response{}, frame{}, fmt.Errorf("no header: %.40q", line)
		}
		if err := readHeader(&response, &f, name, bytes.TrimSpace(value)); err != nil {
			return Response{}, frame{}, err
		}
	}
}

// line returns the next line without its end. It is valid until the next read.
func (c *Conn) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func statusOf(line []byte) (status int, keep bool, err error) {
	const form = "HTTP/1.1 200"
	if len(line) < len(form) || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return 0, false, fmt.Errorf("no status line: %.40q", line)
	}
	status, err = strconv.Atoi(string(line[9:12]))
	return status, line[7] != '0', err
}

func readHeader(response *Response, f *frame, name, value []byte) (err error) {
	switch is := func(header string) bool { return len(name) == len(header) && strings.EqualFold(string(name), header) }; {
	case is("Content-Length"):
		f.length, err = strconv.Atoi(string(value))
		if err == nil && f.length < 0 {
			err = errors.New("Content-Length below 0")
		}
	case is("Transfer-Encoding"):
		f.chunked = strings.EqualFold(string(value), "chunked")
	case is("Connection"):
		f.keep = f.keep && !strings.EqualFold(string(value), "close")
	case is("Idempotent-Replayed"):
		response.Replayed = string(value) == "true"
	case is("Location"):
		response.Location = len(value) > 0
	case is("Retry-After"):
		response.RetryAfter = len(value) > 0
	}
	return err
}

// readBody reads the body into c.body and reports whether the connection may be used again.
func (c *Conn) readBody(status int, f frame) (keep bool, err error) {
	c.body = c.body[:0]
	switch {
	case status == http.StatusNoContent || status == http.StatusNotModified:
		return f.keep, nil
	case f.chunked:
		return f.keep, c.readChunks()
	case f.length >= 0:
		return f.keep, c.readPart(f.length)
	}
	c.body, err = io.ReadAll(io.LimitReader(c.reader, longestBody))
	return false, err
}

func (c *Conn) readChunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return fmt.Errorf("size of a chunk: %w", err)
		}
		if size == 0 {
			return c.readTrailer()
		}
		if err := c.readPart(int(size)); err != nil {
			return err
		}
		if line, err = c.line(); err != nil {
			return err
		}
		if len(line) > 0 {
			return errors.New("a chunk is longer than it says")
		}
	}
}

func (c *Conn) readTrailer() error {
	for {
		if line, err := c.line(); err != nil || len(line) == 0 {
			return err
		}
	}
}

// readPart appends n bytes to c.body.
func (c *Conn) readPart(n int) error {
	had := len(c.body)
	if had+n > longestBody {
		return fmt.Errorf("the body is longer than %d bytes", longestBody)
	}
	if cap(c.body) < had+n {
		c.body = append(make([]byte, 0, 2*(had+n)), c.body...)
	}
	c.body = c.body[:had+n]
	_, err := io.ReadFull(c.reader, c.body[had:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
