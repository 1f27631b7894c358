package osuser

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks bounds the links of one path, as the kernel does.
const maxLinks = 40

// OtherChanger returns the first user besides this process's and root who can change the file that a path names: the owner of a folder or
// of a link on the way, links followed, or of its end if that is a folder. nil means that there is none, and that none can appear
// meanwhile. For a folder of our own that others may write into, it is the user "nobody". We create a missing part of the path.
func OtherChanger(path string) (*User, error) { return otherChanger(path, true) }

// OtherChangerAbove is OtherChanger for the folder that contains the path's end, links followed: the owner of that end does not matter.
func OtherChangerAbove(path string) (*User, error) { return otherChanger(path, false) }

func otherChanger(path string, end bool) (*User, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	at, rest, shared := "/", parts(path), false
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) && shared {
			return &nobody, nil // any user may create it before us
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		link := info.Mode()&fs.ModeSymlink != 0
		if who := changer(info); who != nil && (link || info.IsDir() && (end || len(rest) > 0)) {
			return who, nil
		}
		if !link {
			at, shared = next, writable(info)
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("%s: too many links", path)
		}
		to, err := os.Readlink(next)
		if err != nil {
			return nil, err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(parts(to), rest...)
	}
	return nil, nil
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// nobody is the kernel's overflow user.
var nobody = User{65534, 65534}

// changer is another user who can change the entries of a folder, or may have made a link; nil for none. In a sticky folder users
// change only their own entries.
func changer(info fs.FileInfo) *User {
	st := info.Sys().(*syscall.Stat_t)
	if int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return &User{st.Uid, st.Gid}
	}
	if writable(info) && info.Mode()&fs.ModeSticky == 0 {
		return &nobody
	}
	return nil
}

// writable tells whether users other than a folder's owner may write into it. Group 0 is root's own.
func writable(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	return info.IsDir() && (mode&0o002 != 0 || mode&0o020 != 0 && info.Sys().(*syscall.Stat_t).Gid != 0)
}
