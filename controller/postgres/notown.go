package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"mainstay/health"
)

// unreadError names the files of this host's user in a data directory that could not be read.
type unreadError struct {
	names []string
	errs  []error
}

func (e *unreadError) add(path string, err error) {
	e.names, e.errs = append(e.names, filepath.Base(path)), append(e.errs, err)
}

func (e *unreadError) Error() string { return errors.Join(e.errs...).Error() }

// notOwn is the record that a copy of the data lacks files of this host's user, until nothing is left of that.
type notOwn struct {
	Why   string `json:"why"`
	Aside string `json:"aside"` // the data that has them
	// Names are those that could not be read; none: all that belong to the user.
	Names []string `json:"names,omitempty"`
	// Files are the fingerprints of what the copy has instead, by name; nil until there is one.
	Files map[string]string `json:"files,omitempty"`
}

func (i *Server) notOwnFile() string { return filepath.Join(i.Conf, "files-of-the-primary") }

// noteUnkept records that the files were not kept before the data was set aside.
func (i *Server) noteUnkept(aside string, why error) error {
	r := notOwn{Why: why.Error(), Aside: aside}
	if unread := (*unreadError)(nil); errors.As(why, &unread) {
		r.Names = unread.names
	}
	return i.writeNotOwn(r)
}

func (i *Server) writeNotOwn(r notOwn) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return errors.Join(i.Owner.makeDir(i.Conf, 0o750), i.Owner.writeFile(i.notOwnFile(), append(text, '\n'), 0o600))
}

// readNotOwn is nil for no record. A damaged one says nothing that could still be used.
func (i *Server) readNotOwn() (*notOwn, error) {
	raw, err := i.Owner.readIfThere(i.notOwnFile())
	if err != nil || raw == "" {
		return nil, err
	}
	r := &notOwn{}
	if err := json.Unmarshal([]byte(raw), r); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is damaged and was removed: %w", i.notOwnFile(), err), i.Owner.removeFile(i.notOwnFile()))
	}
	return r, nil
}

// noteCopied records what a whole copy in dir has in the place of those files; own are the ones that were put back.
func (i *Server) noteCopied(dir string, own []ownFile) error {
	r, err := i.readNotOwn()
	if err != nil || r == nil || r.Files != nil {
		return err
	}
	names := r.Names
	if names == nil {
		its, err := i.Owner.ownFiles(dir)
		if err != nil {
			return err
		}
		for _, f := range its {
			names = append(names, f.name)
		}
	}
	r.Files = map[string]string{}
	for _, name := range names {
		if !slices.ContainsFunc(own, func(f ownFile) bool { return f.name == name }) {
			r.Files[name] = i.Owner.fingerprint(filepath.Join(dir, name))
		}
	}
	return i.writeNotOwn(*r)
}

// ReplacedFiles are the files of this host's user that its data lacks since they could not be read when it was copied anew; nil for none.
// A file that is no longer the one of the copy is the user's again, and so is one that equals the file in the data that was set aside.
func (i *Server) ReplacedFiles() (*health.ReplacedFiles, error) {
	r, err := i.readNotOwn()
	if err != nil || r == nil || r.Files == nil || !exists(filepath.Join(i.Data, "PG_VERSION")) {
		return nil, err
	}
	var names []string
	for name, copied := range r.Files {
		now, before := i.Owner.fingerprint(filepath.Join(i.Data, name)), i.Owner.fingerprint(filepath.Join(r.Aside, name))
		if now == copied && (now == noFile || now == unreadable || now != before) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, i.Owner.removeFile(i.notOwnFile())
	}
	slices.Sort(names)
	return &health.ReplacedFiles{Names: names, Why: r.Why, Aside: r.Aside, Record: i.notOwnFile()}, nil
}

// Fingerprints of what is no readable file.
const (
	noFile     = ""
	unreadable = "unreadable"
)

// fingerprint tells contents of a file apart.
func (o Owner) fingerprint(path string) string {
	if to, err := os.Readlink(path); err == nil {
		return "link to " + to
	}
	content, err := o.readFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return noFile
	case err != nil:
		return unreadable
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
