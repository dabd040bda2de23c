// Package cities carries a real data set for the tour: 135,233 populated
// places of the world from GeoNames. See README.md and LICENSE.txt beside this
// file for where it comes from and its licence.
package cities

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// packed is a table with a header line, compressed with gzip; sorted by
// country, name and id.
//
//go:embed cities.tsv.gz
var packed []byte

// Count is how many cities there are.
const Count = 135_233

// City is a populated place.
type City struct {
	Country             string // ISO 3166 code, two letters
	Name                string
	ID                  string // of GeoNames, decimal
	Region              string // first-level administrative code
	Population          int64
	Latitude, Longitude float64 // degrees
}

// Key is the key the tour stores the city under: country, name and id.
func (c *City) Key() string { return c.Country + "/" + c.Name + "/" + c.ID }

const header = "country\tname\tid\tadmin1\tkind\tpopulation\tlatitude\tlongitude"

// Each calls fn for every city in order of country and name, and stops at the
// first error.
func Each(fn func(City) error) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("cities: %w", err)
	}
	lines := bufio.NewScanner(unpacked)
	if !lines.Scan() || lines.Text() != header {
		return fmt.Errorf("cities: unexpected header %q", lines.Text())
	}
	for lines.Scan() {
		city, err := parse(lines.Text())
		if err != nil {
			return fmt.Errorf("cities: %q: %w", lines.Text(), err)
		}
		if err := fn(city); err != nil {
			return err
		}
	}
	return lines.Err()
}

func parse(line string) (City, error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 8 {
		return City{}, fmt.Errorf("%d columns", len(fields))
	}
	city := City{Country: fields[0], Name: fields[1], ID: fields[2], Region: fields[3]}
	var err error
	if city.Population, err = strconv.ParseInt(fields[5], 10, 64); err != nil {
		return City{}, err
	}
	if city.Latitude, err = strconv.ParseFloat(fields[6], 64); err != nil {
		return City{}, err
	}
	city.Longitude, err = strconv.ParseFloat(fields[7], 64)
	return city, err
}
