package target

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.yaml.in/yaml/v3"
)

// S3 is a target in a bucket.
type S3 struct {
	Endpoint    string // https://HOST[:PORT]; without TLS only if it says http://
	Region      string // empty is us-east-1
	Bucket      string // it must be there
	Prefix      string // of all objects, without a slash at its end; may be empty
	Credentials string // a YAML file with access-key, secret-key and perhaps session-token, which only its owner may read
	CA          string // a PEM file of the authorities that the endpoint's certificate may come from; empty: those of the system
}

const (
	// partSize is that of an object's parts whose size is known, unless more parts than S3 allows would come of it.
	partSize = 16 << 20
	// streamed is that of an object whose size is not known: 10,000 of them are 655 GB.
	streamed  = 64 << 20
	mostParts = 10_000
	tries     = 4 // of a request, within two seconds or so
	// freshFor is how long credentials are used until their file is read again.
	freshFor = time.Minute
)

// bucket keeps each object under its name. The library's own PutObject is not used: it forgets the condition of a multipart upload, and
// so replaces an object that is there.
type bucket struct {
	conf   S3
	core   minio.Core
	secret *secret
	// unconditional is set once the server has said that it does not know If-None-Match.
	unconditional atomic.Bool
}

func openBucket(conf S3) (*bucket, error) {
	at, err := url.Parse(conf.Endpoint)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || strings.Trim(at.Path, "/") != "" || at.User != nil ||
		at.RawQuery != "" {
		return nil, errors.New("its endpoint is no address: give https://HOST or https://HOST:PORT")
	}
	if conf.Bucket == "" {
		return nil, errors.New("it has no bucket: give one")
	}
	if conf.Prefix != "" && ValidName(conf.Prefix) != nil {
		return nil, fmt.Errorf("its prefix: %w", ValidName(conf.Prefix))
	}
	transport, err := conf.transport()
	if err != nil {
		return nil, err
	}
	b := &bucket{conf: conf, secret: &secret{path: conf.Credentials}}
	if _, err := b.secret.Retrieve(); err != nil {
		return nil, err
	}
	client, err := minio.New(at.Host, &minio.Options{Creds: credentials.New(b.secret), Secure: at.Scheme == "https", Transport: transport,
		Region: cmp.Or(conf.Region, "us-east-1"), MaxRetries: tries})
	if err != nil {
		return nil, fmt.Errorf("its endpoint: %w", err)
	}
	b.core = minio.Core{Client: client}
	return b, nil
}

func (c *S3) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // else an object that is packed would be unpacked on its way
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("its ca: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("its ca: there is no certificate in %s", c.CA)
	}
	return t, nil
}

// secret reads the credentials' file again from time to time, so that they can be renewed.
type secret struct {
	path  string
	until atomic.Int64 // Unix seconds
	used  atomic.Pointer[credentials.Value]
}

func (s *secret) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return s.Retrieve()
}

func (s *secret) IsExpired() bool { return time.Now().Unix() >= s.until.Load() }

// Retrieve reads the file. No error shows what is in it.
func (s *secret) Retrieve() (credentials.Value, error) {
	f, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("its credentials: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return credentials.Value{}, fmt.Errorf("its credentials: %w", err)
	}
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o077 != 0 {
		return credentials.Value{}, fmt.Errorf("its credentials: %s has mode %v, open to others: chmod 600 it", s.path, fi.Mode())
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return credentials.Value{}, fmt.Errorf("its credentials: %w", err)
	}
	var keys struct {
		Access  string `yaml:"access-key"`
		Secret  string `yaml:"secret-key"`
		Session string `yaml:"session-token"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if d.Decode(&keys) != nil || keys.Access == "" || keys.Secret == "" {
		return credentials.Value{}, fmt.Errorf("its credentials: %s must hold the lines access-key: and secret-key:, perhaps session-token:, "+
			"and nothing else", s.path)
	}
	v := credentials.Value{AccessKeyID: keys.Access, SecretAccessKey: keys.Secret, SessionToken: keys.Session,
		SignerType: credentials.SignatureV4}
	s.used.Store(&v)
	s.until.Store(time.Now().Add(freshFor).Unix())
	return v, nil
}

// scrub hides secrets in a text. No part of the library shows them today.
func (s *secret) scrub(text string) string {
	v := s.used.Load()
	if v == nil {
		return text
	}
	for _, hidden := range []string{v.SecretAccessKey, v.SessionToken} {
		if hidden != "" {
			text = strings.ReplaceAll(text, hidden, "***")
		}
	}
	return text
}

// refusal is an error of the server or of the way there.
type refusal struct {
	text   string
	code   string
	status int
	err    error
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.err }

func (e *refusal) reason() Reason {
	switch {
	case e.code == "":
		return (&Error{Err: e.err}).Reason()
	case e.status == http.StatusForbidden, e.status == http.StatusUnauthorized:
		return Denied
	case e.status == http.StatusInsufficientStorage, e.code == "QuotaExceeded", e.code == "XMinioStorageFull",
		e.code == "XMinioAdminBucketQuotaExceeded":
		return Full
	case e.code == "SlowDown", e.status == http.StatusTooManyRequests, e.status == http.StatusServiceUnavailable:
		return Slow
	}
	return Failed
}

// said makes an error of this package of one of the library's.
func (b *bucket) said(err error) error {
	if err == nil {
		return nil
	}
	answer := minio.ToErrorResponse(err)
	text := err.Error()
	if answer.Code != "" {
		text = fmt.Sprintf("the server says %s: %s", answer.Code, strings.TrimSuffix(answer.Message, "."))
	}
	r := &refusal{text: b.secret.scrub(text), code: answer.Code, status: answer.StatusCode, err: err}
	if answer.Code == minio.PreconditionFailed || answer.Code == "ConditionalRequestConflict" {
		return fmt.Errorf("%w (%w)", ErrExists, r)
	}
	return r
}

func (b *bucket) key(name string) string {
	if b.conf.Prefix == "" {
		return name
	}
	return b.conf.Prefix + "/" + name
}

// stat asks for the list. The answer to a question for the object itself may come from any server on the way: the library takes every 404
// for the object's.
func (b *bucket) stat(ctx context.Context, name string) (int64, error) {
	for o := range b.objects(ctx, name) {
		switch {
		case o.Err != nil:
			return 0, b.said(o.Err)
		case o.Key == b.key(name):
			return o.Size, nil
		}
		break
	}
	return 0, ErrNotThere
}

// objects are those whose names begin with a text. The first is the object of that name, if there is one.
func (b *bucket) objects(ctx context.Context, text string) func(func(minio.ObjectInfo) bool) {
	return b.core.ListObjectsIter(ctx, b.conf.Bucket, minio.ListObjectsOptions{Prefix: b.key(text), Recursive: true})
}

func (b *bucket) get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, _, _, err := b.core.GetObject(ctx, b.conf.Bucket, b.key(name), minio.GetObjectOptions{})
	if err == nil {
		return &body{r, b}, nil
	}
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		if _, other := b.stat(ctx, name); other != nil {
			return nil, other
		}
	}
	return nil, b.said(err)
}

// body is that of an answer.
type body struct {
	io.ReadCloser
	b *bucket
}

func (o *body) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = o.b.said(err)
	}
	return n, err
}

func (b *bucket) list(ctx context.Context, prefix string, moved func()) (all []Object, err error) {
	for o := range b.objects(ctx, prefix) {
		if o.Err != nil {
			return nil, b.said(o.Err)
		}
		moved()
		// Others may use the bucket, too.
		if name := strings.TrimPrefix(o.Key, b.key("")); ValidName(name) == nil {
			all = append(all, Object{name, o.Size})
		}
	}
	return all, b.said(ctx.Err())
}

func (b *bucket) remove(ctx context.Context, name string) error {
	return b.said(b.core.RemoveObject(ctx, b.conf.Bucket, b.key(name), minio.RemoveObjectOptions{}))
}

func (b *bucket) put(ctx context.Context, name string, r io.Reader, size int64, over bool, moved func()) error {
	part, err := firstPart(r, int(sizeOfParts(size)))
	switch {
	case err == io.EOF: // one request, which can be tried again
		return b.conditional(over, func(opts minio.PutObjectOptions) error {
			in := &progress{bytes.NewReader(part), moved}
			_, err := b.core.PutObject(ctx, b.conf.Bucket, b.key(name), in, int64(len(part)), "", "", opts)
			return err
		})
	case err != nil:
		return err
	}
	return b.inParts(ctx, name, r, part, over, moved)
}

// conditional makes a request that stores an object, on the condition that there is none, where over is false and the server knows such.
func (b *bucket) conditional(over bool, request func(minio.PutObjectOptions) error) error {
	if over || b.unconditional.Load() {
		return b.said(request(minio.PutObjectOptions{}))
	}
	opts := minio.PutObjectOptions{}
	opts.SetMatchETagExcept("*")
	err := request(opts)
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotImplemented {
		b.unconditional.Store(true)
		err = request(minio.PutObjectOptions{})
	}
	return b.said(err)
}

// firstPart reads a part, in memory that grows with it: most objects are much smaller. io.EOF says that there is no more.
func firstPart(r io.Reader, size int) ([]byte, error) {
	part := make([]byte, 0, min(1<<20, size))
	for {
		n, err := io.ReadFull(r, part[len(part):cap(part)])
		part = part[:len(part)+n]
		switch {
		case err == io.ErrUnexpectedEOF:
			return part, io.EOF
		case err != nil || len(part) == size:
			return part, err
		}
		larger := make([]byte, len(part), min(2*cap(part), size))
		copy(larger, part)
		part = larger
	}
}

// sizeOfParts are equal, as some servers want.
func sizeOfParts(size int64) int64 {
	if size < 0 {
		return streamed
	}
	return max(partSize, (size+mostParts-1)/mostParts)
}

// inParts uploads an object whose first part is read.
func (b *bucket) inParts(ctx context.Context, name string, r io.Reader, part []byte, over bool, moved func()) (err error) {
	id, err := b.core.NewMultipartUpload(ctx, b.conf.Bucket, b.key(name), minio.PutObjectOptions{})
	if err != nil {
		return b.said(err)
	}
	defer func() {
		if err != nil { // else the parts are kept, and paid for
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
			defer cancel()
			_ = b.core.AbortMultipartUpload(late, b.conf.Bucket, b.key(name), id)
		}
	}()
	var parts []minio.CompletePart
	for n := len(part); n > 0; {
		if len(parts) == mostParts {
			return &sourceError{fmt.Errorf("it is larger than %d GB: its size must be known", mostParts*len(part)/1e9)}
		}
		p, err := b.core.PutObjectPart(ctx, b.conf.Bucket, b.key(name), id, len(parts)+1, &progress{bytes.NewReader(part[:n]), moved}, int64(n),
			minio.PutObjectPartOptions{})
		if err != nil {
			return b.said(err)
		}
		parts = append(parts, minio.CompletePart{PartNumber: p.PartNumber, ETag: p.ETag})
		if n, err = io.ReadFull(r, part); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
	}
	moved()
	return b.conditional(over, func(opts minio.PutObjectOptions) error {
		_, err := b.core.CompleteMultipartUpload(ctx, b.conf.Bucket, b.key(name), id, parts, opts)
		return err
	})
}

// progress tells when a part of a request is sent. It can be sent again.
type progress struct {
	r     *bytes.Reader
	moved func()
}

func (p *progress) Read(b []byte) (int, error) {
	p.moved()
	return p.r.Read(b)
}

func (p *progress) Seek(offset int64, whence int) (int64, error) { return p.r.Seek(offset, whence) }
