# Varnish as it comes.
vcl 4.1;
backend default { .host = "@ADDRESS@"; .port = "@ORIGIN@"; }
