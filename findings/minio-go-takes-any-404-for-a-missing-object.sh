#!/usr/bin/env bash
# minio-go 7.4.1: the 404 of a proxy that has lost its way to S3, or of a server that is none, is the error NoSuchKey.
#
# From memory: NoSuchKey is a code that S3 sends in the XML of its answer, so a client that sees it knows from the server itself that the object does
# not exist. An answer without that XML, such as the page of a load balancer, is an error of another code, "404 Not Found".
#
# In fact minio-go makes NoSuchKey of every 404 whose body it cannot read as XML, for GetObject and StatObject, and says "The specified key does not
# exist." For a request about the bucket it makes NoSuchBucket. So "fetch it, and if the error is NoSuchKey there is none" takes an object for missing
# while a proxy in front of the servers is set up wrongly, or an address points elsewhere: a cache is filled anew, a lock is taken, a restore of
# PostgreSQL ends early as a success because its archive "has no more WAL". Other statuses keep their own texts (502 stays "502 Bad Gateway").
# Where it matters, confirm by a list of the object's name, which fails in that case. StatObject says NoSuchKey also for a bucket that does not
# exist, as the answer to HEAD has no body.
#
# Seen on minio-go 7.4.1.
# Fails if that changes. It needs go.
set -euo pipefail
CLIENT=v7.4.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func main() {
	ctx, status := context.Background(), 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "<html><body>no backend for this host</body>", status)
	}))
	defer proxy.Close()
	client, err := minio.New(strings.TrimPrefix(proxy.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4("key", "secret", ""),
		Region: "us-east-1", MaxRetries: 1})
	if err != nil {
		panic(err)
	}
	for _, status = range []int{404, 502} {
		r, err := client.GetObject(ctx, "bucket", "object", minio.GetObjectOptions{})
		if err == nil {
			_, err = io.ReadAll(r)
		}
		_, stat := client.StatObject(ctx, "bucket", "object", minio.StatObjectOptions{})
		list := error(nil)
		for o := range client.ListObjectsIter(ctx, "bucket", minio.ListObjectsOptions{Prefix: "object"}) {
			list = o.Err
		}
		for what, err := range map[string]error{"GetObject": err, "StatObject": stat, "ListObjects": list} {
			fmt.Printf("%d, %s: %s\n", status, what, minio.ToErrorResponse(err).Code)
		}
	}
}
GO
{ go mod init client && go get "github.com/minio/minio-go/v7@$CLIENT" && CGO_ENABLED=0 go build -o client .; } >log 2>&1 || { cat log; exit 1; }
go version -m client | grep minio-go/
./client | sort | tee answers
diff - answers <<'ANSWERS'
404, GetObject: NoSuchKey
404, ListObjects: NoSuchBucket
404, StatObject: NoSuchKey
502, GetObject: 502 Bad Gateway
502, ListObjects: 502 Bad Gateway
502, StatObject: 502 Bad Gateway
ANSWERS
