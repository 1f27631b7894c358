package publish

import (
	"context"
	"reflect"
	"strings"

	"go.uber.org/zap"

	"mainstay/controller/state"
)

// AppTopology is the published part of an app: the instances that take requests.
type AppTopology struct {
	App string `json:"app"`
	// Generation of the platform and Index of the log at which this held: they order all topologies of an app, because more than
	// the app's own state decides where requests go.
	Generation uint64 `json:"generation"`
	Index      uint64 `json:"index"`
	// Sites lists, for every site with instances of the app, those that take requests; an empty list for none.
	Sites map[string][]AppEndpoint `json:"sites"`
}

// AppEndpoint is the address of an instance.
type AppEndpoint struct {
	Instance string `json:"instance"`
	Address  string `json:"address"` // host:port
}

// Older tells whether t precedes o.
func (t AppTopology) Older(o AppTopology) bool {
	return t.Generation < o.Generation || t.Generation == o.Generation && t.Index < o.Index
}

// addresses are the addresses of a site that take requests, separated by commas; "" for none.
func (t AppTopology) addresses(site string) string {
	var all []string
	for _, e := range t.Sites[site] {
		all = append(all, e.Address)
	}
	return strings.Join(all, ",")
}

func (t AppTopology) subject() subject { return subject{"app", t.App} }

func (t AppTopology) same(e entry) bool {
	o, ok := e.(AppTopology)
	o.Generation, o.Index = t.Generation, t.Index
	return ok && reflect.DeepEqual(t, o)
}

func (t AppTopology) put(ctx context.Context, k Sink, platform string) error {
	return k.PublishApp(ctx, platform, t)
}

func (t AppTopology) fields() []zap.Field {
	return []zap.Field{zap.String("app", t.App), zap.Any("sites", t.Sites)}
}

// AppsOf computes the topologies of the apps of committed state, in the platform's order.
func AppsOf(s *state.State) (out []AppTopology) {
	if s.Platform == nil {
		return nil
	}
	for i := range s.Platform.Apps {
		conf := &s.Platform.Apps[i]
		t := AppTopology{App: conf.Name, Generation: s.Generation, Index: s.Index, Sites: map[string][]AppEndpoint{}}
		for _, inst := range conf.Instances {
			if t.Sites[inst.Site] == nil {
				t.Sites[inst.Site] = []AppEndpoint{}
			}
			if s.Serves(conf, inst.Name) {
				t.Sites[inst.Site] = append(t.Sites[inst.Site], AppEndpoint{inst.Name, inst.Address})
			}
		}
		out = append(out, t)
	}
	return out
}

// withdrawApp withdraws all topologies of a removed app that were published before this moment.
func withdrawApp(name string, s *state.State) withdrawal {
	gone := AppTopology{App: name, Generation: s.Generation, Index: s.Index}
	return withdrawal{subject: gone.subject(), do: func(ctx context.Context,
		k Sink) error {
		return k.WithdrawApp(ctx, s.Platform.Name, gone)
	}}
}
