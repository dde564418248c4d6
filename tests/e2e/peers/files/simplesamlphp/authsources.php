<?php
$rig = json_decode(file_get_contents(__DIR__ . '/rig.json'), true, 16, JSON_THROW_ON_ERROR);

$config = ['people' => array_merge(['exampleauth:UserPass'], $rig['people'])];
