package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"mainstay/controller/delta"
)

// Headers of requests that are repeated. A client that sends HasHeader can read a difference to the answer that it names, or to none; a
// server that keeps the request's body, to read differences to it, sends KeptHeader. DeltaHeader is the title of a body that is a
// difference. Builds that do not know them ignore them, and get whole bodies.
const (
	HasHeader   = "Mainstay-Has"
	KeptHeader  = "Mainstay-Kept"
	DeltaHeader = "Mainstay-Delta"
	// HasNone is the value of HasHeader without an answer.
	HasNone = "none"
)

// Repeat is DoAt for a request that is sent continuously with nearly the same body: once the peer has said that it keeps the bodies, both
// sides send only differences to the body before.
func (c *Client) Repeat(ctx context.Context, address, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	route, _, _ := strings.Cut(path, "?")
	x := c.exchanges.With(address + " " + route)
	m := message{method: method, path: path, body: body, out: out, repeated: x}
	whole := x.Requests.Newest() == ""
	err = c.send(ctx, address, m)
	if refusal := (*RefusalError)(nil); errors.As(err, &refusal) && !whole && unread(refusal.Status) {
		x.Requests.Clear()
		err = c.send(ctx, address, m)
	}
	return unreachable(address, err)
}

// unread tells whether an answer means that the server could not read a difference: it was restarted, or runs an older build now.
func unread(status int) bool {
	return status == http.StatusPreconditionFailed || status == http.StatusBadRequest
}

// shorten returns the bytes to send for a body, and their title if they are a difference. x is nil for a request that is not repeated.
func shorten(x *delta.Exchange, body []byte) (send []byte, title string) {
	if x == nil {
		return body, ""
	}
	if title, difference, ok := x.Requests.Encode(x.Requests.Newest(), body); ok {
		return difference, title
	}
	return body, ""
}

func announce(x *delta.Exchange, h http.Header, title string) {
	if x == nil {
		return
	}
	if title != "" {
		h.Set(DeltaHeader, title)
	}
	has := x.Answers.Newest()
	if has == "" {
		has = HasNone
	}
	h.Set(HasHeader, has)
}

// answered makes the whole answer to a request with this body, and keeps both for the next request.
func answered(x *delta.Exchange, h http.Header, body, answer []byte) ([]byte, error) {
	if x == nil {
		return answer, nil
	}
	if title := h.Get(DeltaHeader); title != "" {
		whole, err := x.Answers.Decode(title, answer, maxAnswer)
		if err != nil {
			x.Answers.Clear() // the next answer comes whole
			return nil, fmt.Errorf("its answer cannot be read: %w", err)
		}
		answer = whole
	}
	x.Answers.Keep(answer)
	if h.Get(KeptHeader) == "" {
		x.Requests.Clear()
	} else {
		x.Requests.Keep(body)
	}
	return answer, nil
}
