package publish

import "context"

// PublishApp implements Sink: one transaction, if etcd has nothing newer.
func (e *Etcd) PublishApp(ctx context.Context, platform string, t AppTopology) error {
	there, err := e.held(ctx, e.appKey(platform, t.App))
	if err != nil {
		return err
	}
	var old AppTopology
	err = there.read(&old)
	if err == nil && there.revision != 0 && t.Older(old) {
		return ErrNewer
	}
	now := leased{}
	for site := range old.Sites {
		now[siteKey(there.key, site)] = ""
	}
	for site := range t.Sites {
		now[siteKey(there.key, site)] = t.addresses(site)
	}
	if err == nil {
		err = e.put(ctx, there, t, now)
	}
	return e.correct(ctx, there, now, err)
}

// WithdrawApp implements Sink: one transaction, if etcd has a topology there that is not newer.
func (e *Etcd) WithdrawApp(ctx context.Context, platform string, gone AppTopology) error {
	if err := e.connect(); err != nil {
		return err
	}
	there, err := e.get(ctx, e.appKey(platform, gone.App))
	var old AppTopology
	if err != nil || there.read(&old) != nil || old.App != gone.App {
		return err
	}
	if gone.Older(old) {
		return ErrNewer
	}
	var keys []string
	for site := range old.Sites {
		keys = append(keys, siteKey(there.key, site))
	}
	return e.delete(ctx, there, keys...)
}

func (e *Etcd) appKey(platform, app string) string {
	return e.conf.Prefix + "/" + platform + "/apps/" + app
}

func siteKey(app, site string) string { return app + "/sites/" + site }
