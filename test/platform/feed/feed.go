// Package feed is the app of the sample platform: a small social feed whose posts live in PostgreSQL.
//
// It must never say that a post is stored before its COMMIT was acknowledged, and it must stay correct when the primary
// changes under it: the client chooses the id of a post, so that a write whose fate is unknown can simply be done again.
//
// Flow enters as HTTP requests (Handler), passes through the Store, and leaves as statements to whichever member is
// writable. It knows nothing of Mainstay, as a customer's app would not.
package feed

import (
	"errors"
	"fmt"
	"time"
)

// Post is one message of one author.
type Post struct {
	ID      string    `json:"id"` // UUID, chosen by the client
	Author  string    `json:"author"`
	Text    string    `json:"text"`
	Likes   int64     `json:"likes"`
	Created time.Time `json:"created"`
}

// Limits of a post, in bytes.
const (
	MaxAuthor = 200
	MaxText   = 10_000
)

// Schema creates what is missing. `writes` counts how often a post was written: a repeated write must itself be a commit
// that waits for durability, or its answer would confirm a first one that never reached a replica.
const Schema = `
CREATE TABLE IF NOT EXISTS posts (
	id uuid PRIMARY KEY, author text NOT NULL, body text NOT NULL,
	created timestamptz NOT NULL DEFAULT now(), writes int NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS posts_by_author ON posts (author, created DESC);
CREATE TABLE IF NOT EXISTS likes (
	post uuid NOT NULL REFERENCES posts, who text NOT NULL,
	at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (post, who));`

// InsertPost stores a post ($1 id, $2 author, $3 body). One row affected: it is there, now or since an earlier try. None:
// the id belongs to another post.
const InsertPost = `
INSERT INTO posts AS p (id, author, body) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET writes = p.writes + 1 WHERE p.author = EXCLUDED.author AND p.body = EXCLUDED.body`

// PresentPosts returns those of the ids $1 (uuid[]) that exist.
const PresentPosts = `SELECT id FROM posts WHERE id = ANY($1::uuid[])`

var (
	// ErrConflict is returned when the id of a new post belongs to a different one.
	ErrConflict = errors.New("this id belongs to another post: choose a new one")
	// ErrNotFound is returned when there is no post of that id.
	ErrNotFound = errors.New("there is no post of this id")
	// ErrUnavailable is returned when no primary acknowledged the request in time. A write may or may not have happened.
	ErrUnavailable = errors.New("no primary answered in time: send the same request again, with the same id")
	// ErrQuiesced is returned for a write between quiesce and resume. It has surely not happened.
	ErrQuiesced = errors.New("this app server refuses writes at the moment: send the same request again")
)

// Invalid is returned for a request that can never succeed.
type Invalid struct{ Field, Want string }

func (e *Invalid) Error() string { return fmt.Sprintf("%s must be %s", e.Field, e.Want) }

func (p Post) validate() error {
	switch {
	case !isUUID(p.ID):
		return &Invalid{"id", "a UUID that the client made up"}
	case p.Author == "" || len(p.Author) > MaxAuthor:
		return &Invalid{"author", fmt.Sprintf("1 to %d bytes", MaxAuthor)}
	case p.Text == "" || len(p.Text) > MaxText:
		return &Invalid{"text", fmt.Sprintf("1 to %d bytes", MaxText)}
	}
	return nil
}

// isUUID tells whether s has the usual form of a UUID: 8-4-4-4-12 hexadecimal digits.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}
