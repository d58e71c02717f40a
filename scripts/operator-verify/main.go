// SPDX-License-Identifier: Apache-2.0

// operator-verify DIRECTORY: all of operator-framework's validators on an OLM bundle. A line for each complaint; exit code 1
// when one of them is an error. The command of the same name in their module runs three of them, and always ends with 0.
package main

import (
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: operator-verify DIRECTORY")
		os.Exit(2)
	}
	bundle, err := manifests.GetBundleFromDir(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "operator-verify:", err)
		os.Exit(2)
	}
	// Whoever looks for removed APIs takes the version of Kubernetes from such a map.
	objects := append(bundle.ObjectsToValidate(), map[string]string{"k8s-version": "1.34"})
	failed := false
	for _, result := range validation.AllValidators.Validate(objects...) {
		for _, complaint := range result.Errors {
			fmt.Println("error:", result.Name+":", complaint.Error())
			failed = true
		}
		for _, complaint := range result.Warnings {
			fmt.Println("warning:", result.Name+":", complaint.Error())
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("ok:", len(validation.AllValidators), "validators")
}
