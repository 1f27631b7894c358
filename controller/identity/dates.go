package identity

import (
	"context"
	"time"
)

// remindEvery is how often the alarm about a certificate's end is repeated.
const remindEvery = 24 * time.Hour

// End is the end of one of a process's certificates.
type End struct {
	Holder string // from the certificate: mainstay://social/agent/db-e1, or the authority's name
	At     time.Time
}

// Ends lists the process's own certificate and the authority's that signed it.
func (s *Store) Ends() []End {
	m := s.held.Load()
	return []End{{m.id.String(), m.ends}, {m.authority, m.authorityEnds}}
}

// EndOf reads the end of the first certificate of a file that is not of this platform, such as etcd's client certificate. Its Holder is
// the file.
func EndOf(path string) (End, error) {
	certs, _, err := readCerts(path, "name a certificate")
	if err != nil {
		return End{}, err
	}
	return End{path, certs[0].NotAfter}, nil
}

// EndsSoon tells whether a certificate's end is less than 60 days after now, or past: the certificate-expiry alarm.
func EndsSoon(end, now time.Time) bool { return end.Sub(now) < soon }

// ExpiresSoon is EndsSoon of Expiry.
func (s *Store) ExpiresSoon(now time.Time) bool { return EndsSoon(s.Expiry(), now) }

// Remind calls tell at once and then each day, as long as Expiry is near or past, until ctx ends. A Reload with a new certificate ends the
// alarm, and a certificate that comes near its end while the process runs begins it.
func (s *Store) Remind(ctx context.Context, tell func(ends time.Time)) error {
	return s.remind(ctx, remindEvery, tell)
}

func (s *Store) remind(ctx context.Context, every time.Duration, tell func(ends time.Time)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if s.ExpiresSoon(s.now()) {
			tell(s.Expiry())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
