package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// mostBody bounds the part of an answer's body that is read, and its headers.
const mostBody = 64 << 10

// reply is a server's answer.
type reply struct {
	status int
	body   string // its beginning
}

// text is the reply as evidence.
func (r reply) text() string {
	s := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	if said := evidence(r.body); said != "" {
		s += ": " + said
	}
	return s
}

func (r reply) good() bool { return r.status >= 200 && r.status <= 299 }

// checkHTTP makes the HTTP check of the app.
func (p *Prober) checkHTTP(ctx context.Context, t InstanceTarget) error {
	r, err := p.get(ctx, t, t.Check.HTTP)
	switch {
	case err != nil:
		return err
	case t.Check.Status != 0 && r.status != t.Check.Status, t.Check.Status == 0 && !r.good():
		return errors.New(r.text())
	case !strings.Contains(r.body, t.Check.Body):
		return fmt.Errorf("%d, but the first %d KiB of the body do not contain %q", r.status, mostBody>>10, t.Check.Body)
	}
	return nil
}

// askReachable asks whether the app server reaches the primary: 2xx is yes, 5xx is no. Anything else, including no answer, says
// nothing about the primary: a dead app server or a wrong URL must never cause a failover.
func (p *Prober) askReachable(ctx context.Context, t InstanceTarget) error {
	r, err := p.get(ctx, t, t.Reachable)
	switch {
	case err != nil:
		return &unanswered{err}
	case r.good():
		return nil
	case r.status >= 500:
		return errors.New(r.text())
	}
	return &unanswered{fmt.Errorf("the answer is neither 2xx nor 5xx, so it does not count: %s", r.text())}
}

// get requests one URL on its own connection and reads the beginning of the answer, all until ctx ends. It follows no redirect
// and uses no proxy: the answer must be the app server's own.
func (p *Prober) get(ctx context.Context, t InstanceTarget, pattern string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Instance.In(pattern), nil)
	if err != nil {
		return reply{}, &unable{err}
	}
	req.Header.Set("User-Agent", "mainstay-controller")
	for name, value := range t.Check.Headers {
		req.Header.Set(name, value)
	}
	req.Host = req.Header.Get("Host") // "" is the URL's own
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.Check.CA != "" {
		if config.RootCAs, err = p.authority(ctx, t.Check.CA); err != nil {
			return reply{}, &unable{err}
		}
	}
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:     (&net.Dialer{Timeout: t.Check.Timeout}).DialContext,
			TLSClientConfig: config, TLSHandshakeTimeout: t.Check.Timeout,
			TLSNextProto:      map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: mostBody,
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, bare(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody))
	if err != nil {
		return reply{}, fmt.Errorf("its answer does not end: %w", bare(err))
	}
	return reply{resp.StatusCode, string(body)}, nil
}

// bare drops the URL, which the app's check shows.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("did not answer in time")
	}
	return err
}

// authority reads the CA certificates for a server. One file is read at a time: a disk that hangs blocks one goroutine, and the
// others only until ctx ends.
func (p *Prober) authority(ctx context.Context, path string) (*x509.CertPool, error) {
	late := fmt.Errorf("reading %s takes too long: does its disk hang?", path)
	select {
	case p.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, late
	}
	type file struct {
		raw []byte
		err error
	}
	read := make(chan file, 1)
	go func() {
		defer func() { <-p.reading }()
		raw, err := os.ReadFile(path)
		read <- file{raw, err}
	}()
	select {
	case <-ctx.Done():
		return nil, late
	case f := <-read:
		pool := x509.NewCertPool()
		if f.err == nil && !pool.AppendCertsFromPEM(f.raw) {
			f.err = fmt.Errorf("%s contains no certificate", path)
		}
		return pool, f.err
	}
}
