package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// places is how this host lays data out: the next copy gets the same.
type places struct {
	Links []outlier   `json:"links"`
	Mode  os.FileMode `json:"mode"` // of the data directory; 0 where there was none
	// HostLinks are its user's links, without those that are kept with the configuration files (ownFiles).
	HostLinks map[string]string `json:"hostLinks,omitempty"`
	Log       string            `json:"log,omitempty"` // the log's folder, by its path below the data
	Sharing   sharing           `json:"sharing,omitzero"`
}

func (i *Server) placesFile() string { return filepath.Join(i.Conf, layout) }

// places reads it from the data, or where that was set aside, from what was kept of it.
func (i *Server) places(ctx context.Context) (p places, err error) {
	if exists(filepath.Join(i.Data, "PG_VERSION")) {
		return i.placesOf(ctx)
	}
	raw, err := i.Owner.readIfThere(i.placesFile())
	if err != nil || raw == "" {
		return p, err
	}
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return p, fmt.Errorf("%s is damaged: %w; remove it, and the next copy is laid out like its source", i.placesFile(), err)
	}
	return p, nil
}

func (i *Server) placesOf(ctx context.Context) (p places, err error) {
	info, err := os.Stat(i.Data)
	if err != nil {
		return p, err
	}
	p.Mode = info.Mode().Perm()
	if p.Links, err = outliers(i.Data); err != nil {
		return p, err
	}
	l, err := i.Owner.userLayout(i.Data)
	if err != nil {
		return p, err
	}
	maps.DeleteFunc(l.links, func(name, _ string) bool { return isOwn(name) })
	if len(l.replaced) > 0 {
		i.notice("a copy has a folder in the place of each link: " + linksInPlace(l.replaced))
	}
	p.HostLinks, p.Log = l.links, i.logFolder(ctx)
	p.Sharing, err = i.sharingOf()
	return p, err
}

// keepPlaces keeps, before data is set aside, how it is laid out, until its successor has started.
func (i *Server) keepPlaces(ctx context.Context) error {
	p, err := i.places(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return errors.Join(i.Owner.makeDir(i.Conf, 0o750), i.Owner.writeFile(i.placesFile(), text, 0o600))
}

// spot is a folder outside of the data directory for a part of a copy. The copy's part is made in temp, on the same file system, and
// takes its place when the copy is whole.
type spot struct {
	outlier
	source string // where a tablespace lies on the source's host
	temp   string
}

// spots finds and tries the folders for a copy, before the source is asked for it: a base backup begins with a checkpoint that it forces.
func (i *Server) spots(ctx context.Context, from Source, here places) (all []spot, err error) {
	spaces, err := i.spaces(ctx, from)
	if err != nil {
		return nil, err
	}
	for _, l := range here.Links {
		if l.Link == walLink {
			all = append(all, spot{outlier: l})
		}
	}
	for _, s := range spaces {
		all = append(all, s.spot(here))
	}
	for n := range all {
		if err := i.try(ctx, &all[n]); err != nil {
			return nil, errors.Join(err, i.clearSpots(all))
		}
	}
	return all, nil
}

// try says why a folder could not take a part of a copy.
func (i *Server) try(ctx context.Context, s *spot) (err error) {
	at := s.At
	if at == "" {
		at = s.Text
	}
	info, err := os.Stat(at)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("%s, to which %s of the data directory must lead, is not there: mount its disk, or make it (mkdir -p %s; chown %s %s)",
			at, s.Link, at, i.Owner.Name, at)
	}
	s.At = at
	if data, err := filepath.EvalSymlinks(i.Data); err == nil && strings.HasPrefix(at, data+"/") {
		return fmt.Errorf("%s, to which %s of the data directory must lead, lies inside the data directory, where no copy can have it: "+
			"drop that tablespace, or make it elsewhere", at, s.Link)
	}
	if err := i.unused(ctx, *s); err != nil {
		return err
	}
	suffix := ourMark + "clone-" + i.Member
	for _, old := range []string{at + "." + suffix, filepath.Join(at, suffix)} {
		if exists(old) {
			if err := i.Owner.removePlace(at, old); err != nil {
				return fmt.Errorf("remove what an interrupted attempt left: %w", err)
			}
		}
	}
	if s.temp, err = i.Owner.spare(at, suffix); err != nil {
		return err
	}
	return i.Owner.makePlace(at, s.temp)
}

// mapByHand is how members of one host get separate folders.
const mapByHand = "a member whose primary runs on the same host needs folders of its own for tablespaces: make its first " +
	"copy by hand with pg_basebackup --tablespace-mapping; later ones keep them"

// unused refuses a folder that another server uses, or that holds files to which no link of this member's data leads.
func (i *Server) unused(ctx context.Context, s spot) error {
	data, err := i.userOf(ctx, s.At)
	if err != nil {
		return err
	}
	if data != "" {
		return fmt.Errorf("%s, where %s of the copy belongs, is in use by the server of %s; %s", s.At, s.Link, data, mapByHand)
	}
	names, err := i.contents(s.Link, s.At)
	if err != nil {
		return i.Owner.notWritable(s.At, err)
	}
	if len(names) == 0 || i.leadsTo(s.At) {
		return nil
	}
	return fmt.Errorf(
		"%s, where %s of the copy belongs, holds %s, to which no link of this member's data leads; if no other server uses it, move it away; %s",
		s.At, s.Link, names[0], mapByHand)
}

// leadsTo tells whether a link of the data leads to a folder.
func (i *Server) leadsTo(dir string) bool {
	links, err := outliers(i.Data)
	for _, l := range links {
		if l.At == dir {
			return true
		}
	}
	return err != nil
}

func (i *Server) clearSpots(all []spot) error {
	var errs []error
	for _, s := range all {
		if s.temp != "" {
			errs = append(errs, i.Owner.removePlace(s.At, s.temp))
		}
	}
	return errors.Join(errs...)
}

// settle gives the parts of a copy their places, which a successful aside has emptied. Each link comes first, so that it tells whose the
// contents of its folder are (dropParts).
func (i *Server) settle(tmp string, all []spot) error {
	for _, s := range all {
		if !exists(filepath.Join(tmp, s.Link)) {
			continue // a tablespace that was dropped meanwhile
		}
		names, err := i.contents(s.Link, s.At)
		if err == nil && len(names) > 0 {
			err = fmt.Errorf("%s holds %s, which was not set aside", s.At, names[0])
		}
		if err != nil {
			return err
		}
		if err := i.Owner.relink(filepath.Join(tmp, s.Link), s.Text); err != nil {
			return err
		}
		if err := i.move(s.Link, s.temp, s.At); err != nil {
			return err
		}
	}
	return nil
}

// dropParts removes what a copy that was not finished has in folders outside of it. A folder to which the data in place leads is that
// data's.
func (i *Server) dropParts(tmp string) error {
	links, err := outliers(tmp)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.At == "" || i.leadsTo(l.At) {
			continue
		}
		names, err := i.contents(l.Link, l.At)
		if err != nil {
			return err
		}
		err = i.Owner.asOwner(func() error {
			var errs []error
			for _, n := range names {
				errs = append(errs, os.RemoveAll(filepath.Join(l.At, n)))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// KeptInsideError is returned when a rewind would destroy what earlier repairs have set aside: pg_rewind removes from the folders that
// the data's links lead to whatever its source has not.
type KeptInsideError struct{ Place string }

func (e *KeptInsideError) Error() string {
	return fmt.Sprintf("pg_rewind would remove %s, which an earlier repair has set aside; the data is rebuilt instead, "+
		"unless that is dropped (mainstay member quarantine list)", e.Place)
}

func (i *Server) nothingKeptInside() error {
	links, err := outliers(i.Data)
	if err != nil {
		return err
	}
	for _, l := range links {
		err := i.Owner.asOwner(func() error {
			entries, err := os.ReadDir(l.At)
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), asideMark) {
					return &KeptInsideError{filepath.Join(l.At, e.Name())}
				}
			}
			if l.At == "" || errors.Is(err, fs.ErrNotExist) {
				return nil // pg_rewind tells
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
