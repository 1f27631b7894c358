package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"mainstay/controller/identity"
)

// ErrNoLeader is returned (wrapped, with each controller's answer) when controllers answer but none of them is or knows the leader:
// they are electing one, or a majority of them is missing.
var ErrNoLeader = errors.New("no controller knows a leader")

// ErrUncertain is returned (wrapped) when a request that changes something was sent and no answer came: it may have been
// carried out. Nothing is sent twice.
var ErrUncertain = errors.New("no answer came, so it may have been carried out; check `mainstay status` before you try again")

// RefusalError is an answer that is not 2xx.
type RefusalError struct {
	Status  int    // HTTP's
	Address string // that answered
	Err     Error
}

func (r *RefusalError) Error() string {
	if r.Err.Message == "" {
		return fmt.Sprintf("%s answered with HTTP status %d", r.Address, r.Status)
	}
	return r.Err.Message
}

// UnreachableError is returned when no address answered.
type UnreachableError struct {
	Tried []Attempt // in the order tried
}

// Attempt is one address that did not answer, with the error.
type Attempt struct {
	Address string
	Err     error
}

func (e *UnreachableError) Error() string {
	switch {
	case len(e.Tried) == 0:
		return "no address to connect to; name the controllers with --controllers or in the context"
	case e.Certificates(), len(e.Tried) == 1:
		return e.each()
	}
	return "no address answers: " + e.each()
}

// each lists the addresses with their reasons, and then the remedies. Addresses with the same reason share one.
func (e *UnreachableError) each() string {
	var reasons, mends []string
	addresses := map[string][]string{}
	for _, a := range e.Tried {
		why, mend := plain(a.Err)
		if addresses[why] == nil {
			reasons = append(reasons, why)
		}
		addresses[why] = append(addresses[why], a.Address)
		if mend != "" && !slices.Contains(mends, mend) {
			mends = append(mends, mend)
		}
	}
	for i, why := range reasons {
		reasons[i] = strings.Join(addresses[why], ", ") + ": " + why
	}
	return strings.Join(append(reasons, mends...), "; ")
}

// Why is the text of an error of DoAt, for a caller that names the address itself.
func Why(err error) string {
	var away *UnreachableError
	if !errors.As(err, &away) || len(away.Tried) != 1 {
		return err.Error()
	}
	why, mend := plain(away.Tried[0].Err)
	if mend != "" {
		why += "; " + mend
	}
	return why
}

// Certificates tells whether all of them run but one side does not accept the other's certificate: then the cause is neither a missing
// leader nor the network.
func (e *UnreachableError) Certificates() bool {
	for _, a := range e.Tried {
		if peer := (*identity.PeerError)(nil); !errors.Is(a.Err, errCertificate) && !errors.As(a.Err, &peer) {
			return false
		}
	}
	return len(e.Tried) > 0
}

// errCertificate is wrapped where the peer refused our certificate.
var errCertificate = errors.New("it does not accept our certificate")

// plain explains a failed exchange to an operator. mend is the next step, where it is the same for several peers.
func plain(err error) (why, mend string) {
	var network net.Error
	var dial *net.OpError
	var peer *identity.PeerError
	switch {
	case errors.As(err, &peer):
		return peer.What(), peer.Mend
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "connection refused: nothing listens there"
	case errors.Is(err, io.EOF):
		why = "it closed the connection: it is stopping, or the port belongs to another program"
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		why = "no connection in time: its host is off, or the network drops the packets"
	case errors.As(err, &network) && network.Timeout():
		why = "no answer in time: the process or its host is stopped or hangs"
	case errors.As(err, &dial) && dial.Op == "dial":
		why = dial.Err.Error()
	default:
		why = err.Error()
	}
	return why, ""
}

// Unwrap returns the causes, for errors.Is.
func (e *UnreachableError) Unwrap() []error {
	var errs []error
	for _, a := range e.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}

// sentError marks a failure after the request may have reached the peer.
type sentError struct{ err error }

func (e *sentError) Error() string { return e.err.Error() }
func (e *sentError) Unwrap() error { return e.err }
