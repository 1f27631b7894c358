// Package target keeps backups and WAL outside the cluster: objects with names, in a directory, in a bucket of S3, or behind an operator's
// own programs.
//
// A caller Opens a target and Puts objects; a Receipt leaves, and it is given only after the whole object was read back and its SHA-256
// compared. It must never replace an object by Put, never give a receipt without reading, and never wait longer than its caller's
// deadline: also not for a filesystem that hangs. A target that moves no byte for Config.Patience is given up before that.
package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// Target is a place for objects. Its methods may be called at once from several goroutines and processes; of two that Put other contents
// under one name, one gets ErrExists (see Exec for an exception). Each returns within ten
// seconds after ctx has ended, but does not interrupt the reader that a caller gave. Errors are of type *Error.
type Target interface {
	// Put stores what r gives, to its end, as a new object. An object with the same content is a success, one with another is
	// ErrExists. size is the length of r in bytes, -1 if unknown; another length than size is an error, and nothing is stored.
	Put(ctx context.Context, name string, r io.Reader, size int64) (Receipt, error)
	// Replace is Put in the place of any object of that name.
	Replace(ctx context.Context, name string, r io.Reader, size int64) (Receipt, error)
	// Get opens an object, or returns ErrNotThere. ctx is also for its reading. Whether the content is right is for the caller to
	// judge, by a receipt's SHA-256; an end before the end is an error of Read.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List is what there is below a folder, sorted by name. prefix is empty or ends with a slash.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Remove makes that there is no such object. It is a success if there was none.
	Remove(ctx context.Context, name string) error
}

// Object is one that a target lists.
type Object struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

// Receipt says that a target held an object when it was read back.
type Receipt struct {
	Target string `json:"target"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hexadecimal
}

// Config says where a target is; one of its kinds is set. It is of the agent's own file.
type Config struct {
	Directory string // absolute; it must be there
	S3        *S3
	Exec      *Exec
	Patience  time.Duration // without any progress a call is given up; 0 is two minutes
}

const usualPatience = 2 * time.Minute

// Open prepares a target by its name in the agent's file. It asks the target nothing, but reads the files of an S3 target's credentials
// and authority. Its errors name the target and what to write.
func Open(name string, conf Config) (Target, error) {
	kind, err := conf.open()
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	c := &checked{store: kind, name: name, patience: cmp.Or(conf.Patience, usualPatience)}
	if conf.Exec != nil {
		c.one = make(chan struct{}, 1)
	}
	return c, nil
}

func (c *Config) open() (store, error) {
	switch {
	case c.Directory != "" && c.S3 == nil && c.Exec == nil:
		if !filepath.IsAbs(c.Directory) {
			return nil, fmt.Errorf("its directory is %q: give the absolute path", c.Directory)
		}
		return &directory{path: c.Directory}, nil
	case c.S3 != nil && c.Exec == nil && c.Directory == "":
		return openBucket(*c.S3)
	case c.Exec != nil && c.S3 == nil && c.Directory == "":
		return &programs{*c.Exec}, c.Exec.check()
	}
	return nil, errors.New("give it one of directory, s3 and exec")
}

// Verify reads the object of a receipt at its target. Its errors are ErrNotThere, ErrDamaged, and those of the way there.
func Verify(ctx context.Context, t Target, r Receipt) error {
	found, err := Sum(ctx, t, r.Name)
	if err != nil {
		return err
	}
	if found.Size != r.Size || found.SHA256 != r.SHA256 {
		return &Error{Target: r.Target, Name: r.Name, Doing: "verify", Err: damaged(found, r)}
	}
	return nil
}

// Sum reads a whole object and tells its size and SHA-256; Receipt.Target is left empty.
func Sum(ctx context.Context, t Target, name string) (Receipt, error) {
	r, err := t.Get(ctx, name)
	if err != nil {
		return Receipt{}, err
	}
	defer r.Close()
	in := newSummed(r, -1)
	if _, err := io.Copy(io.Discard, in); err != nil {
		return Receipt{}, err
	}
	return in.receipt("", name), nil
}

// ValidName is nil for the name of an object: parts of letters, digits, dot, underscore and hyphen, with slashes between them. No part
// begins with a dot; names have up to 512 characters and parts up to 200.
func ValidName(name string) error {
	if len(name) > 512 {
		return fmt.Errorf("the name of an object has %d characters: 512 are allowed", len(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || len(part) > 200 || strings.Trim(part, partLetters) != "" {
			return fmt.Errorf("%q is no name of an object: want parts of letters, digits, '.', '_' and '-' with '/' between them", name)
		}
	}
	return nil
}

const partLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

func validPrefix(prefix string) error {
	folder, slash := strings.CutSuffix(prefix, "/")
	if prefix == "" || slash && ValidName(folder) == nil {
		return nil
	}
	return fmt.Errorf("%q is no folder of objects: want none, or a name with a slash at its end", prefix)
}
