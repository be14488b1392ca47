package money

import "strings"

// Currency is a currency with the number of decimals of its minor unit, to which invoices round.
type Currency struct {
	Code   string // ISO 4217, three capital letters
	Places int
}

// iso4217 lists the currencies by the decimals of their minor unit, as ISO 4217 list one has them,
// and those withdrawn since 2023 (ANG, BGN, HRK, SLL, ZWL), in which invoices may still be open to
// correction. Metals, funds without a minor unit, test codes and XXX are no currencies to bill in.
var iso4217 = map[int]string{
	0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF`,
	2: `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN
		BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
		GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
		LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK
		NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD
		SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD
		XCG YER ZAR ZMW ZWG ZWL`,
	3: `BHD IQD JOD KWD LYD OMR TND`,
	4: `CLF UYW`,
}

var currencies = func() map[string]Currency {
	table := make(map[string]Currency, 192)
	for places, codes := range iso4217 {
		for _, code := range strings.Fields(codes) {
			table[code] = Currency{code, places}
		}
	}
	return table
}()

// LookupCurrency gives the currency of an ISO 4217 code, in capital letters as the standard has it.
func LookupCurrency(code string) (Currency, bool) {
	c, ok := currencies[code]
	return c, ok
}
