package main

import (
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type circulationGroup struct {
	Stop circulationStopCmd `cmd:"" help:"${help_circulation_stop}"`
	Lift circulationLiftCmd `cmd:"" help:"${help_circulation_lift}"`
	List circulationListCmd `cmd:"" help:"${help_circulation_list}"`
}

// stopJSON is an order in force, with the field names that scripts rely on.
type stopJSON struct {
	Transaction     string  `json:"transaction"`
	Part            uint32  `json:"part"`
	Order           string  `json:"order"`
	DocumentSHA256  string  `json:"document_sha256"`
	At              *string `json:"at"`
	HistorySequence uint64  `json:"history_sequence"`
	RequestID       string  `json:"request_id"`
}

func toStop(c *sagov1.CirculationStop) stopJSON {
	return stopJSON{Transaction: c.GetTransaction(), Part: c.GetPart(), Order: c.GetOrder(), DocumentSHA256: hexOf(c.GetDocumentDigest()),
		At: utc(c.GetAt()), HistorySequence: c.GetHistorySequence(), RequestID: c.GetRequestId()}
}

// givenGrounds are the people and reasons of an order, as far as they are given.
type givenGrounds struct {
	Requester string `help:"${help_requester}" placeholder:"TEXT"`
	Basis     string `help:"${help_order_basis}" placeholder:"TEXT"`
	Reason    string `help:"${help_order_reason}" placeholder:"TEXT"`
}

type circulationStopCmd struct {
	number
	Order string `help:"${help_order}" required:"" placeholder:"NO"`
	givenGrounds
	orderDocument
}

// Run registers an order.
func (c *circulationStopCmd) Run(s *session) error {
	digest, err := c.digest()
	if err != nil {
		return err
	}
	return s.with(func(cl *client.Client) error {
		stop, err := cl.StopCirculation(s.ctx, &sagov1.CirculationServiceStopRequest{Transaction: c.Transaction, Part: c.Part,
			Order: c.Order, DocumentDigest: digest, Requester: c.Requester, Basis: c.Basis, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.answer(toStop(stop), func(p *page) {
			p.line("유통정지: "+stop.GetTransaction(), "circulation stopped: "+stop.GetTransaction())
			p.pair("명령", "order", stop.GetOrder())
			p.pair("시각", "at", local(stop.GetAt()))
			p.pair("이력 일련번호", "history sequence", stop.GetHistorySequence())
		})
	})
}

type circulationLiftCmd struct {
	number
	Order string `help:"${help_order}" required:"" placeholder:"NO"`
	givenGrounds
}

// Run opens the act that lifts an order.
func (c *circulationLiftCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.LiftCirculation(s.ctx, &sagov1.CirculationServiceLiftRequest{Transaction: c.Transaction, Part: c.Part, Order: c.Order,
			Requester: c.Requester, Basis: c.Basis, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type circulationListCmd struct {
	Limit uint32 `help:"${help_limit}" default:"0"`
}

// Run lists the orders in force.
func (c *circulationListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		rows, found := []stopJSON{}, []*sagov1.CirculationStop{}
		for stop, err := range cl.Stops(s.ctx, &sagov1.CirculationServiceListRequest{Limit: c.Limit}) {
			if err != nil {
				return err
			}
			rows, found = append(rows, toStop(stop)), append(found, stop)
		}
		return s.answer(map[string]any{"stops": rows}, func(p *page) {
			p.head("거래일련번호", "TRANSACTION", "부분", "PART", "명령", "ORDER", "시각", "AT", "특수삭제 요청", "REQUEST")
			for _, stop := range found {
				p.row(stop.GetTransaction(), stop.GetPart(), stop.GetOrder(), local(stop.GetAt()), stop.GetRequestId())
			}
		})
	})
}
