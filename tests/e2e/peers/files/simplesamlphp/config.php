<?php
// One throw-away SimpleSAMLphp: everything that differs between two of them stands in rig.json.
$rig = json_decode(file_get_contents(__DIR__ . '/rig.json'), true, 16, JSON_THROW_ON_ERROR);

// Each file in sp/ is one service provider; a new file counts from the next request.
$sources = [['type' => 'flatfile']];
foreach (glob(__DIR__ . '/sp/*.xml') as $file) {
    $sources[] = ['type' => 'xml', 'file' => $file];
}

$config = [
    'baseurlpath' => $rig['base_url'],
    'certdir' => __DIR__ . '/cert/',
    'metadatadir' => __DIR__ . '/metadata/',
    'loggingdir' => __DIR__ . '/log/',
    'datadir' => __DIR__ . '/data/',
    'tempdir' => __DIR__ . '/tmp',
    'attributenamemapdir' => '/etc/simplesamlphp/attributemap/',
    'metadata.sources' => $sources,
    'secretsalt' => $rig['salt'],
    'auth.adminpassword' => $rig['salt'],
    'technicalcontact_email' => 'e2e@example.org',
    'timezone' => 'UTC',
    'logging.level' => \SimpleSAML\Logger::INFO,
    'logging.handler' => 'file',
    'logging.logfile' => 'simplesamlphp.log',
    'enable.saml20-idp' => true,
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'store.type' => 'phpsession',
    // Cookies know no ports: two providers on one address need names of their own.
    'session.phpsession.cookiename' => 'session_' . $rig['name'],
    'session.phpsession.savepath' => __DIR__ . '/sessions',
    'session.authtoken.cookiename' => 'token_' . $rig['name'],
    'session.cookie.secure' => true,
    'session.cookie.samesite' => 'None',
    'language.default' => 'en',
    'theme.use' => 'default',
];
