package pages

import (
	"net/http"
)

const mostFormBytes = 64 << 10

// formWords are what a form that is refused is answered with.
type formWords struct {
	Back, BackWord string
	Nothing        string // what was not done: "Nothing was retried."
	Verb           string // what the reader may not do: "retry"
}

// mayPost reads a form and says whether the reader may do what it asks for; if not, it has answered.
func (s *server) mayPost(w http.ResponseWriter, r *http.Request, words formWords, may func(Viewer) bool) bool {
	p := problem{Back: words.Back, BackWord: words.BackWord}
	r.Body = http.MaxBytesReader(w, r.Body, mostFormBytes)
	switch {
	case r.ParseForm() != nil:
		p.Status, p.Heading, p.Text = http.StatusBadRequest, "The form did not arrive whole", "Go back and try again."
	case s.origin.Check(r) != nil || s.CheckCSRF != nil && !s.CheckCSRF(r, r.PostForm.Get("csrf_token")):
		p.Status, p.Heading = http.StatusForbidden, "This form is too old"
		p.Text = "It was opened in another session, or by another page. " + words.Nothing + " Load the page again and press the button there."
	case !may(s.Viewer(r)):
		p.Status, p.Heading = http.StatusForbidden, "You may look, but not "+words.Verb
		p.Text = "Your key reads only. Ask somebody with the role support or admin."
	default:
		return true
	}
	s.showProblem(w, r, p)
	return false
}
