package api

// HoldDeliveries takes all places of deliveries, and gives what frees them.
func HoldDeliveries(s *Server) (free func()) {
	for range cap(s.deliveries) {
		s.deliveries <- struct{}{}
	}
	return func() {
		for range cap(s.deliveries) {
			<-s.deliveries
		}
	}
}
