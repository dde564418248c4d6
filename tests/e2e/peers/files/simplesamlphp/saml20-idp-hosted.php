<?php
$rig = json_decode(file_get_contents(dirname(__DIR__) . '/rig.json'), true, 16, JSON_THROW_ON_ERROR);

const PERSISTENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';

$metadata[$rig['entity_id']] = [
    'host' => '__DEFAULT__',
    'auth' => 'people',
    'privatekey' => 'idp.key',
    'certificate' => 'idp.crt',
    'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'saml20.sign.response' => $rig['sign_response'],
    'saml20.sign.assertion' => $rig['sign_assertion'],
    'assertion.encryption' => $rig['encrypt'],
    'validate.authnrequest' => $rig['demand_signed_requests'],
    'redirect.validate' => $rig['demand_signed_requests'],
    'SingleSignOnServiceBinding' => [
        'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect',
        'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST',
    ],
    'NameIDFormat' => PERSISTENT,
    'authproc' => [
        10 => ['class' => 'saml:AttributeNameID', 'attribute' => 'employeeNumber', 'Format' => PERSISTENT],
    ] + ($rig['oid_names'] ? [20 => ['class' => 'core:AttributeMap', 'name2oid']] : []),
    'attributes.NameFormat' => $rig['oid_names']
        ? 'urn:oasis:names:tc:SAML:2.0:attrname-format:uri'
        : 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
];
