// Command feedserver is one app server of the sample platform's feed.
//
// The connection string comes from PLATFORM_DSN or from a file, never from an argument. Name every member in it:
//
//	PLATFORM_DSN='host=10.0.1.11,10.0.2.11 dbname=feed user=feed' feedserver -listen :8080 -name web-e1
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os/signal"
	"syscall"
	"time"

	"mainstay/test/platform/feed"
	"mainstay/test/platform/pgclient"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	name := flag.String("name", "feed", "name of this app server, shown by /healthz and to PostgreSQL")
	dsnFile := flag.String("dsn-file", "", "file that holds the connection string (default: PLATFORM_DSN)")
	retry := flag.Duration("retry", feed.DefaultRetry, "how long a request is repeated while there is no primary")
	connect := flag.Duration("connect", pgclient.DefaultConnect, "limit for connecting to one host")
	statement := flag.Duration("statement", time.Second, "limit for one statement")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	dsn, err := pgclient.DSN(*dsnFile, "PLATFORM_DSN")
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	s := feed.Server{Name: *name, DSN: dsn, Retry: *retry, Logf: log.Printf,
		Database: pgclient.Options{Connect: *connect, Statement: *statement}}
	if err := s.Serve(ctx, l); err != nil {
		log.Fatal(err)
	}
}
