package httpd

import (
	"net/http"
	"slices"
	"strings"
)

// routes is a mux that can list its routes.
type routes struct {
	*http.ServeMux
	list []string
}

func newRoutes() *routes { return &routes{ServeMux: http.NewServeMux()} }

func (m *routes) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	m.list = append(m.list, pattern)
	m.ServeMux.HandleFunc(pattern, handler)
}

func (m *routes) patterns() []string { return slices.Sorted(slices.Values(m.list)) }

// allowed returns the methods that a path has a route for.
func (m *routes) allowed(r *http.Request) []string {
	var list []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		other := *r
		other.Method = method
		if _, pattern := m.Handler(&other); strings.HasPrefix(pattern, method+" ") {
			list = append(list, method)
		}
	}
	return list
}

// noRoute answers what no route of the API takes: in JSON, whatever was asked.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	if list := s.mux.allowed(r); len(list) > 0 {
		w.Header().Set("Allow", strings.Join(list, ", "))
		problem(w, http.StatusMethodNotAllowed, "this address takes "+strings.Join(list, ", "))
		return
	}
	problem(w, http.StatusNotFound, "there is nothing at this address; /api/v1/openapi.json lists what there is")
}
