package pgclient

import (
	"context"
	"time"
)

// Limits of Make: it measures nothing, and a busy machine needs its time.
const (
	makeConnect   = 5 * time.Second
	makeStatement = 30 * time.Second
	makeLimit     = 2 * time.Minute
	makePause     = 500 * time.Millisecond
)

// Make runs statements that make a program's tables on the writable host of dsn, again while that fails transiently, for two
// minutes at most or until ctx ends. They must bear to be run twice.
func Make(ctx context.Context, dsn, name, statements string) error {
	ctx, cancel := context.WithTimeout(ctx, makeLimit)
	defer cancel()
	db, err := Open(dsn, Options{Name: name, Connect: makeConnect, Statement: makeStatement})
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		c, err := db.Conn(ctx)
		if err == nil {
			_, err = Exec(ctx, c, statements)
			c.Close()
		}
		if !Transient(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(makePause):
		}
	}
}
