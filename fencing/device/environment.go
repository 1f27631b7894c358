package device

import "os"

// environment has the variables that agents need besides PATH, such as proxies, and none of Mainstay's own.
func environment() []string {
	env := []string{"PYTHONWARNINGS=ignore"}
	for _, name := range []string{"HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
