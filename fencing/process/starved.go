package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Starved tells whether an error means that this process, or its host, has no descriptors or no memory left. That is the observer's fault
// and no evidence about the observed process. EAGAIN is not among them: from connect it means that the server's queue is full.
func Starved(err error) bool {
	for _, own := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
