#!/usr/bin/env bash
# minio-go 7.4.1: PutObject with SetMatchETagExcept("*") replaces an object that is there, if the new one is larger than 16 MiB.
#
# From memory: SetMatchETagExcept("*") sends If-None-Match: *, which S3 knows since 2024, so PutObject stores an object only where there is none, and
# fails with PreconditionFailed elsewhere. A test with a few bytes shows just that.
#
# In fact PutObject uploads what is larger than a part (16 MiB unless PartSize says otherwise, or of unknown size) in parts, and sends the header
# with the request that begins the upload, where S3 gives it no meaning. The request that completes the upload, which makes the object, comes
# without it. So of two writers that must not replace each other both succeed, the second replaces the first's object, and nobody sees an error:
# a lock or a backup that is safe while it is small is not when it grows. Core.CompleteMultipartUpload takes the same options and does send
# them: with NewMultipartUpload and PutObjectPart the condition holds.
#
# Seen on minio-go 7.4.1 with Versity's S3 gateway 1.8.0.
# Fails if that changes. It needs go and a free port of 127.0.0.1; it builds the gateway, which took 40 s on two CPUs.
set -euo pipefail
CLIENT=v7.4.1
GATEWAY=v1.8.0
work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" || :
  [ -z "$server" ] || wait "$server" || :
  rm -rf "$work"
}
trap finish EXIT
cd "$work"
mkdir gateway client objects objects/bucket attributes
(cd gateway && { go mod init gateway && go get "github.com/versity/versitygw/cmd/versitygw@$GATEWAY" &&
  CGO_ENABLED=0 go build -o gateway github.com/versity/versitygw/cmd/versitygw; } >log 2>&1 || { tail log; exit 1; })
cat >client/main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const part = 16 << 20

var (
	ctx  = context.Background()
	core *minio.Core
)

func content(letter string, size int) []byte { return bytes.Repeat([]byte(letter), size) }

func condition() (o minio.PutObjectOptions) {
	o.SetMatchETagExcept("*")
	return o
}

func put(name, letter string, size int, o minio.PutObjectOptions) error {
	_, err := core.Client.PutObject(ctx, "bucket", name, bytes.NewReader(content(letter, size)), int64(size), o)
	return err
}

// inParts does what PutObject does with a large object, and gives the condition to the request that completes the upload.
func inParts(name, letter string, size int) error {
	id, err := core.NewMultipartUpload(ctx, "bucket", name, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	var parts []minio.CompletePart
	for n := 1; size > 0; n++ {
		length := min(size, part)
		p, err := core.PutObjectPart(ctx, "bucket", name, id, n, bytes.NewReader(content(letter, length)), int64(length), minio.PutObjectPartOptions{})
		if err != nil {
			return err
		}
		parts, size = append(parts, minio.CompletePart{PartNumber: n, ETag: p.ETag}), size-length
	}
	_, err = core.CompleteMultipartUpload(ctx, "bucket", name, id, parts, condition())
	return err
}

func try(what, name string, store func() error) {
	if err := put(name, "a", 5, minio.PutObjectOptions{}); err != nil {
		panic(err)
	}
	err := store()
	answer := "no error"
	if err != nil {
		answer = minio.ToErrorResponse(err).Code
	}
	r, err := core.Client.GetObject(ctx, "bucket", name, minio.GetObjectOptions{})
	if err != nil {
		panic(err)
	}
	now, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %s, and the object begins with %s\n", what, answer, now[:1])
}

func main() {
	client, err := minio.New(os.Args[1], &minio.Options{Creds: credentials.NewStaticV4("key", "secret", ""), Region: "us-east-1"})
	if err != nil {
		panic(err)
	}
	core = &minio.Core{Client: client}
	try("PutObject of 5 bytes", "small", func() error { return put("small", "b", 5, condition()) })
	try("PutObject of 17 MiB", "large", func() error { return put("large", "b", 17<<20, condition()) })
	try("the same in parts by hand", "parts", func() error { return inParts("parts", "b", 17<<20) })
}
GO
(cd client && { go mod init client && go get "github.com/minio/minio-go/v7@$CLIENT" && CGO_ENABLED=0 go build -o client .; } >log 2>&1 ||
  { cat log; exit 1; })
go version -m client/client | grep minio-go/
go version -m gateway/gateway | grep versitygw
for _ in 1 2 3 4 5; do # a port that is free
  address=127.0.0.1:$((20000 + RANDOM % 10000))
  ROOT_ACCESS_KEY=key ROOT_SECRET_KEY=secret gateway/gateway --port "$address" --quiet posix --sidecar "$work/attributes" "$work/objects" >log 2>&1 &
  server=$!
  until (exec 3<>"/dev/tcp/${address/:/\/}") 2>/dev/null || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
  ! kill -0 "$server" 2>/dev/null || break
done
client/client "$address" | tee answers
diff - answers <<'ANSWERS'
PutObject of 5 bytes: PreconditionFailed, and the object begins with a
PutObject of 17 MiB: no error, and the object begins with b
the same in parts by hand: PreconditionFailed, and the object begins with a
ANSWERS
