package postgres

import (
	"errors"
	"os"
)

// exists tells whether a path is there; an error other than "not there" counts as there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
