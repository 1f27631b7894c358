package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"mainstay/health"
)

// Tablespaces are those outside of the data directory, the newest health.MaxSlots of them, and those of the primary's that its replay has
// yet to make. The links are read, which cost the server nothing, and not asked of it: its own function fails where one is gone.
func (i *Server) Tablespaces(primarys []health.Tablespace) (all []health.Tablespace, err error) {
	links, err := outliers(i.Data)
	for _, l := range links {
		if oid, wrong := strconv.ParseUint(filepath.Base(l.Link), 10, 32); wrong == nil && filepath.IsAbs(l.Text) {
			all = append(all, health.Tablespace{OID: uint32(oid), Location: l.Text})
		}
	}
	for _, s := range primarys {
		if !slices.ContainsFunc(all, func(have health.Tablespace) bool { return have.OID == s.OID }) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b health.Tablespace) int { return cmp.Compare(b.OID, a.OID) })
	all = all[:min(len(all), health.MaxSlots)]
	for n := range all {
		all[n].Folder = i.Owner.folderOf(all[n].Location)
	}
	return all, err
}

// folderOf identifies a folder among all of this boot, by whatever path it is reached; "" if it is not there.
func (o Owner) folderOf(dir string) string {
	var st syscall.Stat_t
	if err := o.asOwner(func() error { return syscall.Stat(dir, &st) }); err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// Lacks names the folders of tablespaces that this host lacks, with the reason: a replay of CREATE TABLESPACE ends there, because
// PostgreSQL changes the folder's mode, for which it must be its owner's. A tablespace that is here already may be elsewhere.
func (i *Server) Lacks(all []health.Tablespace) (lacking []string) {
	for _, s := range all {
		at := s.Location
		if text, err := os.Readlink(filepath.Join(i.Data, spaceDir, strconv.FormatUint(uint64(s.OID), 10))); err == nil {
			at = text
		}
		if why := i.Owner.unusable(at); why != "" {
			lacking = append(lacking, fmt.Sprintf("%s (%s)", at, why))
		}
	}
	return lacking
}

func (o Owner) unusable(dir string) (why string) {
	var info fs.FileInfo
	err := o.asOwner(func() (err error) {
		info, err = os.Stat(dir)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it does not exist"
	case err != nil:
		return err.Error()
	case !info.IsDir():
		return "it is no folder"
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != o.UID && o.UID != 0 {
		return fmt.Sprintf("it belongs to user %d", st.Uid)
	}
	return ""
}
