package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Starved tells whether an error says that this process, or its host, has no descriptors or no memory left. That is a fault of
// who looks, and no evidence about what was looked at. EAGAIN is none of these: from a connect it says that the server's queue is
// full.
func Starved(err error) bool {
	for _, own := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
