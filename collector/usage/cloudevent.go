package usage

// cloudEvent reads a CloudEvent 1.0 in JSON: subject is the account, type the product, data.quantity
// the quantity, an object data.corrects the event that is corrected, the other members of data attributes. What is nested in data becomes an attribute
// whose value is its JSON; the context attributes that bear no meaning here, extensions among them,
// are passed over.
func (p *parser) cloudEvent(s *Sent, bad *problem) {
	var seen uint
	version := ""
	for more := p.sc.open(); more; more = p.sc.more() {
		switch name, _ := p.sc.member(); name {
		case "specversion":
			once(&seen, memberSpecVersion, name, bad)
			version = p.name(name, CodeSpecVersion, bad)
		case "id":
			once(&seen, memberID, name, bad)
			s.ID = p.name(name, CodeIDInvalid, bad)
		case "source":
			once(&seen, memberSource, name, bad)
			s.Source = p.name(name, CodeSource, bad)
		case "subject":
			once(&seen, memberAccount, name, bad)
			s.Account = p.name(name, CodeAccountInvalid, bad)
		case "type":
			once(&seen, memberProduct, name, bad)
			s.Product = p.name(name, CodeProductInvalid, bad)
		case "time":
			once(&seen, memberTime, name, bad)
			s.Time, s.HasTime = p.instant(bad)
		case "data":
			once(&seen, memberAttributes, name, bad)
			p.data(s, &seen, bad)
		case "data_base64":
			p.sc.value()
			bad.set(CodeData, "data_base64 is not taken; send data as a JSON object")
		default:
			if of, text := p.sc.value(); of == kindNoJSON || of == kindNoUTF8 || of == kindControl {
				bad.set(notJSON(of, CodeJSON), "member %s is not JSON: %s", quoted(name), quoted(text))
			}
		}
	}
	switch {
	case version != "1.0":
		bad.set(CodeSpecVersion, "specversion must be \"1.0\", not %s", quoted(version))
	case s.Account == "":
		bad.set(CodeAccountMissing, "name the account that used the product as the CloudEvent's subject")
	case s.Product == "":
		bad.set(CodeProductMissing, "name the product that was used as the CloudEvent's type")
	}
}

func (p *parser) data(s *Sent, seen *uint, bad *problem) {
	if p.sc.next() != '{' {
		if of, text := p.sc.value(); of != kindNull {
			bad.set(notJSON(of, CodeData), "data must be an object with the quantity and attributes, not %s", quoted(text))
		}
		return
	}
	for more := p.sc.open(); more; more = p.sc.more() {
		name, of := p.sc.member()
		if name == "quantity" && of == kindString {
			once(seen, memberQuantity, name, bad)
			s.Quantity, s.HasQuantity = p.decimal(name, CodeQuantity, bad)
			continue
		}
		if name == "corrects" && of == kindString && p.sc.next() == '{' {
			once(seen, memberCorrects, name, bad)
			s.Corrects = p.corrects(bad)
			continue
		}
		p.attribute(name, of, true, bad)
	}
}
