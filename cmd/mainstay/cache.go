package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"mainstay/controller/wire"
)

// The last status from a leader is kept in ~/.cache/mainstay/<context>.json: it names the hosts to ask when no leader
// answers, and serves shell completion. It is a convenience: nothing fails where it cannot be written or read.

var notInFileName = regexp.MustCompile(`[^A-Za-z0-9._-]`)

func (p *program) cacheFile(name string) (string, error) {
	dir, err := p.folder("XDG_CACHE_HOME", ".cache")
	return filepath.Join(dir, notInFileName.ReplaceAllString(name, "_")+".json"), err
}

func (p *program) remember(name string, s wire.Status) {
	path, err := p.cacheFile(name)
	if err != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	data, err := json.Marshal(s)
	if err != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".status-*")
	if err != nil {
		return
	}
	defer os.Remove(tmp.Name()) // there is no such file after a successful rename
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		_ = os.Rename(tmp.Name(), path)
	}
}

// recall returns the last status, and false if there is none.
func (p *program) recall(name string) (s wire.Status, ok bool) {
	path, err := p.cacheFile(name)
	if err != nil {
		return s, false
	}
	data, err := os.ReadFile(path)
	return s, err == nil && json.Unmarshal(data, &s) == nil
}
