#!/usr/bin/env bash
# Builds what would be published of each client, checks it, and uses it as a stranger would; publishes nothing.
# `make clients-publish-dry-run`, or this with the names of languages. How to publish is in docs/clients.md.
set -euo pipefail
cd "$(dirname "$0")/.."
source clients/have.sh

TWINE=6.2.0
TYPESCRIPT=5.9.3

ROOT=$PWD
UV=$ROOT/.tools/uv/bin/uv
WORK=$(mktemp -d)
trap 'chmod -R u+w "$WORK" && rm -rf "$WORK"' EXIT

publish_python() {
  "$UV" build --quiet --out-dir "$WORK/python" clients/python
  "$UV" tool run --quiet "twine==$TWINE" check --strict "$WORK"/python/*.whl "$WORK"/python/*.tar.gz
  "$UV" venv --quiet "$WORK/python/venv"
  "$UV" pip install --quiet --python "$WORK/python/venv" "$WORK"/python/*.whl
  (cd "$WORK" && python/venv/bin/python -c \
    'import llmrouter; from llmrouter.channel import service_config; service_config(); llmrouter.Client.connect("localhost:1").close()')
  echo "python: $(cd "$WORK/python" && echo *.whl *.tar.gz) can be published"
}

publish_go() {
  have go go git || return 0
  local module=github.com/llmrouter/llmrouter/clients/go version proxy
  version=v$(sed -n 's/^const Version = "\(.*\)"/\1/p' clients/go/llmrouter/client.go)
  proxy=$WORK/go/proxy/$module/@v
  mkdir -p "$proxy" "$WORK/go/user"
  (cd clients/go && test -z "$(gofmt -l .)" && go vet ./... && go mod verify >/dev/null && go mod tidy -diff)
  # What a module proxy would serve of the tag clients/go/VERSION: the folder as it is committed.
  git archive --format=zip --prefix="$module@$version/" -o "$proxy/$version.zip" HEAD:clients/go
  git show HEAD:clients/go/go.mod >"$proxy/$version.mod"
  echo "{\"Version\": \"$version\"}" >"$proxy/$version.info"
  (
    cd "$WORK/go/user"
    cp "$ROOT/clients/go/examples/complete/main.go" .
    # A module cache of its own, or this version would stay in the user's; what that has already need not be fetched.
    local fetched
    fetched=$(go env GOMODCACHE)/cache/download
    export GOPROXY="file://$WORK/go/proxy,file://$fetched,$(go env GOPROXY)" GONOSUMDB=github.com/llmrouter
    export GOMODCACHE=$WORK/go/cache GOFLAGS=-mod=mod
    go mod init example.com/user 2>/dev/null
    go get "$module@$version"
    go build -o user .
  )
  echo "go: $module@$version can be published; its tag is clients/go/$version"
}

publish_typescript() {
  have typescript node npm git || return 0
  local source=$WORK/typescript/source user=$WORK/typescript/user version
  mkdir -p "$source" "$user"
  git archive HEAD:clients/typescript | tar -x -C "$source"
  version=$(node -p 'require(process.argv[1]).version' "$source/package.json")
  (
    cd "$source"
    npm ci --silent --no-fund --no-audit
    npm pack --silent --pack-destination "$user" >/dev/null
  )
  (
    cd "$user"
    echo '{"type": "module"}' >package.json
    npm install --silent --no-fund --no-audit ./llmrouter-client-*.tgz "typescript@$TYPESCRIPT" "@types/node@20"
    # All code of the README, one piece after the other.
    sed -n '/^```ts$/,/^```$/{/^```/d;p}' node_modules/@llmrouter/client/README.md >readme.ts
    test -s readme.ts
    cp "$source"/examples/*.ts .
    npx tsc --noEmit --strict --target es2022 --module nodenext ./*.ts
    node -e 'import("@llmrouter/client").then(({ Client }) => Client.connect("localhost:1").close())'
  )
  echo "typescript: @llmrouter/client@$version can be published"
}

publish_java() {
  have java java mvn git || return 0
  local work=$WORK/java version
  local mvn=(mvn -q -B -Dstyle.color=never)
  mkdir -p "$work/client" "$work/user/src/main/java"
  git archive HEAD:clients/java | tar -x -C "$work/client"
  version=$(sed -n 's|^  <version>\(.*\)</version>|\1|p' "$work/client/pom.xml")
  # Not installed: a stranger would find it in the user's own repository.
  (cd "$work/client" && "${mvn[@]}" -P release deploy -Dmaven.test.skip=true -Dmaven.install.skip=true \
    -DaltDeploymentRepository="dry::file://$work/repository" >/dev/null)
  for one in .pom .jar -sources.jar -javadoc.jar; do
    test -s "$work/repository/dev/llmrouter/llmrouter-client/$version/llmrouter-client-$version$one"
  done
  cat >"$work/user/pom.xml" <<END
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>user</artifactId>
  <version>1</version>
  <properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target></properties>
  <dependencies>
    <dependency><groupId>dev.llmrouter</groupId><artifactId>llmrouter-client</artifactId><version>$version</version></dependency>
  </dependencies>
  <repositories><repository><id>dry</id><url>file://$work/repository</url></repository></repositories>
</project>
END
  # A repository of its own, or this version would stay in the user's; what that has already need not be fetched.
  cat >"$work/settings.xml" <<END
<settings>
  <localRepository>$work/fetched</localRepository>
  <profiles>
    <profile>
      <id>dry</id>
      <repositories><repository><id>user</id><url>file://$HOME/.m2/repository</url>
        <releases><checksumPolicy>ignore</checksumPolicy></releases></repository></repositories>
      <pluginRepositories><pluginRepository><id>user</id><url>file://$HOME/.m2/repository</url>
        <releases><checksumPolicy>ignore</checksumPolicy></releases></pluginRepository></pluginRepositories>
    </profile>
  </profiles>
  <activeProfiles><activeProfile>dry</activeProfile></activeProfiles>
</settings>
END
  cp clients/java/examples/*.java "$work/user/src/main/java"
  cat >"$work/user/src/main/java/User.java" <<END
public class User {
  public static void main(String[] none) {
    dev.llmrouter.RouterClient.connect("localhost:1").close();
  }
}
END
  (cd "$work/user" && "${mvn[@]}" -s "$work/settings.xml" compile \
    org.apache.maven.plugins:maven-dependency-plugin:3.11.0:build-classpath -Dmdep.outputFile=classpath -Dmdep.includeScope=runtime \
    && java -cp "target/classes:$(cat classpath)" User)
  echo "java: dev.llmrouter:llmrouter-client:$version can be published, with its sources and javadoc"
}

for language in ${*:-python go typescript java}; do
  "publish_$language"
done
