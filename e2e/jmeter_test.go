package e2e

import (
	"encoding/xml"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// element is one of a JMeter plan.
type element struct {
	XMLName   xml.Name
	TestClass string    `xml:"testclass,attr"`
	Name      string    `xml:"name,attr"`
	Children  []element `xml:",any"`
	Text      string    `xml:",chardata"`
}

// visit calls see with each element, and requires that each has its hashTree behind it, without which JMeter reads no plan.
func (e element) visit(t *testing.T, see func(element)) {
	t.Helper()
	see(e)
	for i, child := range e.Children {
		if e.XMLName.Local == "hashTree" {
			require.Equal(t, i%2 == 1, child.XMLName.Local == "hashTree", "%s, number %d", child.XMLName.Local, i)
		}
		child.visit(t, see)
	}
	if e.XMLName.Local == "hashTree" {
		require.Zero(t, len(e.Children)%2)
	}
}

func (e element) property(name string) string {
	for _, child := range e.Children {
		if child.Name == name {
			return child.Text
		}
	}
	return ""
}

// TestJMeterPlan reads the plan as JMeter would, as far as its form goes. It does not run it.
func TestJMeterPlan(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../scripts/jmeter/drop.jmx")
	require.NoError(t, err)
	var plan element
	require.NoError(t, xml.Unmarshal(content, &plan))
	require.Equal(t, "jmeterTestPlan", plan.XMLName.Local)
	count := map[string]int{}
	plan.visit(t, func(e element) {
		count[e.TestClass]++
		if e.TestClass == "HTTPSamplerProxy" {
			require.Equal(t, "POST", e.property("HTTPSampler.method"))
			require.Equal(t, "/v1/campaigns/${__P(campaign)}/apply", e.property("HTTPSampler.path"))
		}
	})
	for class, times := range map[string]int{
		"TestPlan": 1, "SetupThreadGroup": 1, "ThreadGroup": 1, "PostThreadGroup": 1, "HTTPSamplerProxy": 1, "CounterConfig": 1, "JSR223Assertion": 1,
	} {
		require.Equal(t, times, count[class], class)
	}
}
