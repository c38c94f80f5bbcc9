// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Certificates: an authority (ca.pem) and a server certificate under it (server.pem). Both are made where they are missing, so
// that removing server.pem before a start gives a changed certificate of the same authority.

// loadCertificates returns the server's certificate and its SHA-256 thumbprint, as vSphere writes it.
func loadCertificates(dir string) (c tls.Certificate, thumbprint string, err error) {
	if err = os.MkdirAll(dir, 0700); err != nil {
		return
	}
	server, authority := filepath.Join(dir, "server.pem"), filepath.Join(dir, "ca.pem")
	if _, missing := os.Stat(server); missing != nil {
		if _, missing := os.Stat(authority); missing != nil {
			if err = makeCertificate(authority, nil); err != nil {
				return
			}
		}
		var issuer tls.Certificate
		if issuer, err = tls.LoadX509KeyPair(authority, authority+".key"); err != nil {
			return
		}
		if err = makeCertificate(server, &issuer); err != nil {
			return
		}
	}
	if c, err = tls.LoadX509KeyPair(server, server+".key"); err != nil {
		return
	}
	var bytes []string
	for _, b := range sha256.Sum256(c.Certificate[0]) {
		bytes = append(bytes, fmt.Sprintf("%02X", b))
	}
	return c, strings.Join(bytes, ":"), nil
}

// makeCertificate writes path and path.key; without an issuer it makes an authority. Valid from long ago: a lab's clock may be set back.
func makeCertificate(path string, issuer *tls.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter: time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC), BasicConstraintsValid: true}
	parent, signer := template, interface{}(key)
	if issuer == nil {
		template.Subject = pkix.Name{CommonName: "lab authority"}
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	} else {
		template.Subject = pkix.Name{CommonName: "vcenter.lab"}
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames = []string{"localhost", "vcenter.lab"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2), net.IPv4(10, 0, 2, 2), net.IPv6loopback}
		if parent, err = x509.ParseCertificate(issuer.Certificate[0]); err != nil {
			return err
		}
		signer = issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(path+".key", "EC PRIVATE KEY", secret, 0600); err != nil {
		return err
	}
	return writePEM(path, "CERTIFICATE", der, 0644)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
