package feed

import (
	"context"
	"database/sql"

	"github.com/lib/pq"

	"mainstay/test/platform/pgclient"
)

// maxListed bounds the posts of one answer.
const maxListed = 100

const selectPosts = `SELECT p.id, p.author, p.body, p.created, (SELECT count(*) FROM likes l WHERE l.post = p.id) FROM posts p `

// Get returns a post. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Get(ctx context.Context, id string) (Post, error) {
	if !isUUID(id) {
		return Post{}, ErrNotFound
	}
	posts, err := s.list(ctx, selectPosts+"WHERE p.id = $1", id)
	if err != nil {
		return Post{}, err
	}
	if len(posts) == 0 {
		return Post{}, ErrNotFound
	}
	return posts[0], nil
}

// ByAuthor returns the latest posts of an author, newest first, at most 100. Errors: ErrUnavailable.
func (s *Store) ByAuthor(ctx context.Context, author string) ([]Post, error) {
	return s.list(ctx, selectPosts+"WHERE p.author = $1 ORDER BY p.created DESC, p.id LIMIT $2", author, maxListed)
}

func (s *Store) list(ctx context.Context, query string, args ...any) (posts []Post, err error) {
	err = s.do(ctx, func(c *sql.Conn) error {
		posts = []Post{}
		return pgclient.Query(ctx, c, func(r *sql.Rows) error {
			var p Post
			err := r.Scan(&p.ID, &p.Author, &p.Text, &p.Created, &p.Likes)
			posts = append(posts, p)
			return err
		}, query, args...)
	})
	return posts, err
}

// Present returns those of the ids that exist on the primary. Errors: *Invalid, ErrUnavailable.
func (s *Store) Present(ctx context.Context, ids []string) (present []string, err error) {
	for _, id := range ids {
		if !isUUID(id) {
			return nil, &Invalid{"ids", "a list of UUIDs"}
		}
	}
	err = s.do(ctx, func(c *sql.Conn) error {
		present = []string{}
		return pgclient.Query(ctx, c, func(r *sql.Rows) error {
			var id string
			err := r.Scan(&id)
			present = append(present, id)
			return err
		}, PresentPosts, pq.StringArray(ids))
	})
	return present, err
}
