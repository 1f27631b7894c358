package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"mainstay/test/platform/feed"
)

// DefaultRequest is the limit of one request to an app server. It is shorter than the server's own patience
// (feed.DefaultRetry), as a user's would be: a write that it cuts off is unknown.
const DefaultRequest = 3 * time.Second

// dialLimit bounds a connection to an app server: one whose host swallows packets is given up for the next.
const dialLimit = 300 * time.Millisecond

// HTTP writes through app servers, as users do. Each writer stays with the server that last answered, and after an error
// turns to the next of the list.
type HTTP struct {
	urls    []string
	request time.Duration
}

// NewHTTP takes the base URLs of the app servers. request zero is DefaultRequest.
func NewHTTP(urls []string, request time.Duration) (*HTTP, error) {
	h := &HTTP{request: request}
	for _, u := range urls {
		if u = strings.TrimRight(strings.TrimSpace(u), "/"); u != "" {
			h.urls = append(h.urls, u)
		}
	}
	if len(h.urls) == 0 {
		return nil, errors.New("no app server: name at least one URL, such as http://10.0.1.21:8080")
	}
	if h.request <= 0 {
		h.request = DefaultRequest
	}
	return h, nil
}

// Writer implements Target.
func (h *HTTP) Writer() Writer {
	return &httpWriter{h: h, client: &http.Client{Timeout: h.request, Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext,
	}}}
}

// Missing implements Target.
func (h *HTTP) Missing(ctx context.Context, ids []string) ([]string, error) {
	w := h.Writer().(*httpWriter)
	defer w.Close()
	var errs []error
	for range h.urls {
		var found struct{ IDs []string }
		err := w.post(ctx, "/lookup", map[string]any{"ids": ids}, http.StatusOK, &found)
		if err == nil {
			return without(ids, found.IDs), nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// httpWriter is used by one goroutine.
type httpWriter struct {
	h      *HTTP
	client *http.Client
	at     int // index of the server in use
}

func (w *httpWriter) Write(ctx context.Context, id string) error {
	p := feed.Post{ID: id, Author: author, Text: "post " + id}
	return w.post(context.WithoutCancel(ctx), "/posts", p, http.StatusCreated, nil)
}

// post sends one request to the server in use, and turns to the next one if it is not answered as wanted.
func (w *httpWriter) post(ctx context.Context, path string, body any, want int, into any) (err error) {
	url := w.h.urls[w.at] + path
	defer func() {
		if err != nil {
			w.at = (w.at + 1) % len(w.h.urls)
			err = fmt.Errorf("post to %s: %w", url, err)
		}
	}()
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("answered %s: %.200s", resp.Status, answer)
	}
	if into != nil {
		return json.Unmarshal(answer, into)
	}
	return nil
}

func (w *httpWriter) Close() { w.client.CloseIdleConnections() }
